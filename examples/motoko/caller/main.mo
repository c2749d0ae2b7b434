// Calls counters on other canisters, in whatever language they are written, with the interface of the caller in Go (examples/go/caller). It
// shows what an await can end in, which effects of a message stay when it traps afterwards, and how a lock is released in every case.
import Error "mo:base/Error";
import Principal "mo:base/Principal";

persistent actor Caller {
  type Counter = actor {
    increment : shared () -> async Nat64;
    get : shared query () -> async Nat64;
  };
  type Result = { #ok : Nat64; #err : { code : Nat32; message : Text } };

  transient var calls : Nat64 = 0; // begun
  transient var replies : Nat64 = 0; // that ended in a reply
  transient var rejects : Nat64 = 0; // that ended in a reject
  transient var cleanups : Nat64 = 0; // after which something trapped
  transient var busy = false; // one is under way

  // The interface specification's numbers.
  func code(e : Error) : Nat32 {
    switch (Error.code e) {
      case (#system_fatal) 1;
      case (#system_transient) 2;
      case (#destination_invalid) 3;
      case (#canister_reject) 4;
      case (#canister_error) 5;
      case _ 6;
    }
  };

  func counter(id : Principal) : Counter { actor (Principal.toText id) };

  public func increment(id : Principal) : async Result {
    if busy throw Error.reject "another call is under way";
    busy := true;
    calls += 1;
    var done = false;
    try {
      let n = await counter(id).increment();
      replies += 1;
      done := true;
      #ok n
    } catch e { // the callee trapped or refused, or there is none
      rejects += 1;
      done := true;
      #err { code = code e; message = Error.message e }
    } finally { // runs even when what stands after the await traps, such as the decoding of a reply that is no number
      if (not done) cleanups += 1;
      busy := false
    }
  };

  // Everything before the await is kept when it begins. The trap undoes what came after it, and finally still releases the lock.
  public func trap_after(id : Principal) : async Result {
    if busy throw Error.reject "another call is under way";
    busy := true;
    calls += 1;
    try {
      ignore await counter(id).increment();
      replies += 1000;
      assert false;
      #ok 0
    } finally {
      cleanups += 1;
      busy := false
    }
  };

  // A composite query is answered by one replica, which asks the queries of others on its subnet.
  public composite query func sum(ids : [Principal]) : async Result {
    var total : Nat64 = 0;
    for (id in ids.vals()) total += await counter(id).get();
    #ok total
  };

  public query func stats() : async { calls : Nat64; replies : Nat64; rejects : Nat64; cleanups : Nat64; busy : Bool } {
    { calls; replies; rejects; cleanups; busy }
  };
}
