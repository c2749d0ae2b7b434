// What Motoko's actors rely on: timers, regions of stable memory, and what a trap undoes before and after an await.
import Array "mo:base/Array";
import Error "mo:base/Error";
import Principal "mo:base/Principal";
import Region "mo:base/Region";
import Timer "mo:base/Timer";

persistent actor Lab {
  type Counter = actor { increment : shared () -> async Nat64 };
  func counter(id : Principal) : Counter { actor (Principal.toText id) };

  // Timers. They are gone after an upgrade; what stands here is run at each start and sets a new one.
  var starts = 0;
  var ticks = 0;
  transient var recurring = 0;
  ignore Timer.setTimer<system>(#seconds 0, func() : async () { starts += 1 });

  public func every(ns : Nat) : async () {
    recurring := Timer.recurringTimer<system>(#nanoseconds ns, func() : async () { ticks += 1 })
  };
  public func cancel() : async () { Timer.cancelTimer recurring };
  public query func timers() : async { starts : Nat; ticks : Nat } { { starts; ticks } };

  // A region is stable memory of its own; the variable that holds it survives like any other.
  let region = Region.new();
  let other = Region.new();

  public func store(at : Nat64, bytes : Blob) : async { size : Nat64; other : Nat64 } {
    write(at, bytes);
    { size = Region.size region; other = Region.size other }
  };
  func write(at : Nat64, bytes : Blob) {
    let pages = (at + 65_536) / 65_536 + 1;
    if (Region.size region < pages) assert Region.grow(region, pages - Region.size region) != 0xffff_ffff_ffff_ffff;
    if (Region.size other == 0) assert Region.grow(other, 1) == 0;
    Region.storeBlob(region, at, bytes);
    Region.storeNat64(other, 65_528, at) // in its last bytes
  };
  public query func load(at : Nat64, size : Nat) : async { bytes : Blob; last : Nat64; pages : Nat64 } {
    { bytes = Region.loadBlob(region, at, size); last = Region.loadNat64(other, 65_528); pages = Region.size region }
  };
  // Reads over the end of a region, behind which another region's bytes may lie.
  public query func beyond() : async Blob { Region.loadBlob(other, 65_535, 2) };

  // Traps and errors around an await. Each step leaves its mark.
  var marks : [Text] = [];
  transient var open : Int = 0;
  func mark(t : Text) { marks := Array.append(marks, [t]) };
  public query func seen() : async { marks : [Text]; open : Int } { { marks; open } };
  public func clear() : async () { marks := [] };

  func nothing() : async () {};
  func inner() : async () {
    mark "inner";
    assert false
  };

  // Undoes the mark, and the call is never made.
  public func trap_before(id : Principal) : async () {
    mark "before";
    ignore counter(id).increment();
    assert false;
    await nothing()
  };

  // Keeps what was done before the second await, calls among it, and undoes what was done after it: marks, calls, regions, timers.
  public func trap_after(id : Principal) : async () {
    open += 1;
    try {
      mark "one";
      ignore counter(id).increment();
      await nothing();
      mark "two";
      ignore counter(id).increment();
      await nothing();
      mark "three";
      ignore counter(id).increment();
      write(1_000_000, "\ff\ff\ff\ff");
      recurring := Timer.recurringTimer<system>(#nanoseconds 1, func() : async () { ticks += 1 });
      assert false
    } finally {
      open -= 1;
      mark "finally"
    }
  };

  // An error that is thrown undoes nothing.
  public func throw_after() : async () {
    open += 1;
    try {
      mark "one";
      await nothing();
      mark "two";
      throw Error.reject "thrown"
    } catch e {
      mark("caught " # Error.message e);
      throw e
    } finally {
      open -= 1;
      mark "finally"
    }
  };

  // A trap in a message that is called undoes that message alone, and is an error here.
  public func trap_inside() : async { canister_error : Bool; message : Text } {
    mark "before";
    try {
      await inner();
      { canister_error = false; message = "no error" }
    } catch e {
      mark "caught";
      { canister_error = switch (Error.code e) { case (#canister_error) true; case _ false }; message = Error.message e }
    }
  };

  // A call begins when the caller awaits, not where it is written.
  public func order() : async () {
    let f = (func() : async () { mark "callee" })();
    mark "caller";
    await f;
    mark "awaited"
  };

  // Not what callers of counters expect.
  public func increment() : async Text { "no number" };

  // Two calls under way at once.
  public func both(a : Principal, b : Principal) : async (Nat64, Nat64) {
    let x = counter(a).increment();
    let y = counter(b).increment();
    (await x, await y)
  };
}
