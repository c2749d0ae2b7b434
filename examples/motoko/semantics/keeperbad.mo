// A version that cannot take over the state: the name is no number. Enhanced orthogonal persistence compares the types, and the upgrade traps.
// Classical persistence does not: a variable whose value does not fit begins anew, so this version looks for itself whether all is there.
import Debug "mo:base/Debug";

persistent actor Keeper {
  type Node = { var value : Nat; var next : ?Node };
  var list : ?Node = null;
  var size = 0;
  var name : Nat = 7;
  transient var messages = 0; // starts anew with each version

  system func postupgrade() { if (size > 0 and name == 7) Debug.trap "the name is lost" };

  public func push(n : Nat) : async () {
    messages += 1;
    list := ?{ var value = n; var next = list };
    size += 1
  };
  public func grow(n : Nat) : async () {
    var i = 0;
    while (i < n) {
      list := ?{ var value = i; var next = list };
      size += 1;
      i += 1
    }
  };
  public query func state() : async { name : Nat; size : Nat; sum : Nat; messages : Nat } {
    var sum = 0;
    var at = list;
    label walk loop {
      switch at {
        case (?n) { sum += n.value; at := n.next };
        case null break walk
      }
    };
    { name; size; sum; messages }
  };
}
