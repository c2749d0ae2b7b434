// The first version of an actor whose state is to survive upgrades.
persistent actor Keeper {
  type Node = { var value : Nat; var next : ?Node };
  var list : ?Node = null;
  var size = 0;
  var name : Text = "keeper";
  transient var messages = 0; // starts anew with each version

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
  public query func state() : async { name : Text; size : Nat; sum : Nat; messages : Nat } {
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
  public func rename(t : Text) : async () { name := t };
}
