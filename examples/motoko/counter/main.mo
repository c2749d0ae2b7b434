// A counter, with the interface of the one in Go (examples/go/counter). `persistent` makes its variables survive upgrades.
import Debug "mo:base/Debug";
import Principal "mo:base/Principal";

persistent actor class Counter(start : ?Nat64) {
  var count : Nat64 = switch start { case (?n) n; case null 0 }; // evaluated once, not at upgrades

  public query func get() : async Nat64 { count };

  public func increment() : async Nat64 {
    count += 1; // traps when it is full, which undoes everything that the message did
    count
  };

  public func add(n : Nat64) : async Nat64 {
    count += n;
    count
  };

  public shared ({ caller }) func set(n : Nat64) : async () {
    if (not Principal.isController(caller)) Debug.trap("only controllers may set the counter");
    count := n
  };
}
