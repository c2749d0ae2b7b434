// An actor that makes others of a class and upgrades them: the management canister as Motoko's class system uses it.
import Principal "mo:base/Principal";
import Counters "../counter/main";

persistent actor Factory {
  var made : [Principal] = [];

  public func make(start : Nat64) : async { id : Principal; count : Nat64 } {
    let counter = await (with cycles = 5_000_000_000_000) Counters.Counter(?start);
    made := [Principal.fromActor counter];
    { id = Principal.fromActor counter; count = await counter.increment() }
  };

  // The counter keeps its count, whatever start says.
  public func upgrade(id : Principal) : async Nat64 {
    let old : Counters.Counter = actor (Principal.toText id);
    let new = await (system Counters.Counter)(#upgrade old)(?100);
    await new.increment()
  };

  public func reinstall(id : Principal) : async Nat64 {
    let old : Counters.Counter = actor (Principal.toText id);
    let new = await (system Counters.Counter)(#reinstall old)(?100);
    await new.increment()
  };

  public query func last() : async [Principal] { made };
}
