// The part of the EVM-RPC canister's interface that the wallet uses.
import Array "mo:base/Array";
import Error "mo:base/Error";
import Nat "mo:base/Nat";
import Principal "mo:base/Principal";

module {
  type Services = { #EthMainnet; #EthSepolia; #Custom : { chainId : Nat64; services : [{ url : Text }] } }; // without a list, the canister chooses
  type RpcError = {
    #JsonRpcError : { code : Int64; message : Text };
    #ProviderError : { #TooFewCycles : { expected : Nat; received : Nat }; #MissingRequiredProvider; #ProviderNotFound; #NoPermission; #InvalidRpcConfig : Text };
    #ValidationError : { #Custom : Text; #InvalidHex : Text };
    #HttpOutcallError : { #IcError : { message : Text }; #InvalidHttpJsonRpcResponse : { status : Nat16; body : Text } };
  };
  type Multi<T> = { #Consistent : { #Ok : T; #Err : RpcError }; #Inconsistent : Any }; // consistent, if enough providers agree
  type Tag = { #Latest };
  type Canister = actor {
    eth_getTransactionCount : shared (Services, Null, { address : Text; block : Tag }) -> async Multi<Nat>;
    eth_feeHistory : shared (Services, Null, { blockCount : Nat; newestBlock : Tag; rewardPercentiles : ?[Nat8] }) -> async Multi<{ baseFeePerGas : [Nat]; reward : [[Nat]] }>;
    eth_sendRawTransaction : shared (Services, Null, Text) -> async Multi<{ #Ok : Any; #NonceTooLow; #NonceTooHigh; #InsufficientFunds }>;
  };

  let rpcCycles = 10_000_000_000; // what is left comes back

  public class Client(id : Principal, chain : Nat64) {
    let canister : Canister = actor (Principal.toText id);
    let services : Services = switch chain { case 1 #EthMainnet; case 11155111 #EthSepolia; case _ #Custom { chainId = chain; services = [] } };

    func failed<T>(method : Text, answer : Multi<T>) : Error.Error {
      Error.reject(method # ": " # (switch answer { case (#Consistent(#Err e)) debug_show e; case _ "the providers disagree" }))
    };

    // How many transactions of an account are mined and what the next should offer: the median of the blocks' tips, 1.5 gwei at least, above
    // a base fee that may double.
    public func ask(address : Text) : async* { mined : Nat; fee : { priority : Nat; max : Nat } } {
      let counting = (with cycles = rpcCycles) canister.eth_getTransactionCount(services, null, { address; block = #Latest });
      let history = (with cycles = rpcCycles) canister.eth_feeHistory(services, null, { blockCount = 5; newestBlock = #Latest; rewardPercentiles = ?[20] });
      let mined = switch (await counting) { case (#Consistent(#Ok n)) n; case other throw failed("eth_getTransactionCount", other) };
      let { baseFeePerGas; reward } = switch (await history) { case (#Consistent(#Ok h)) h; case other throw failed("eth_feeHistory", other) };
      let tips = Array.sort(Array.flatten reward, Nat.compare);
      if (tips.size() == 0 or baseFeePerGas.size() == 0) throw Error.reject "eth_feeHistory: an empty history";
      let priority = Nat.max(tips[tips.size() / 2], 1_500_000_000);
      { mined; fee = { priority; max = 2 * baseFeePerGas[baseFeePerGas.size() - 1] + priority } }
    };

    // Hands a signed transaction to Ethereum's nodes. Those that have it already are content.
    public func send(raw : Text) : async* () {
      switch (await (with cycles = rpcCycles) canister.eth_sendRawTransaction(services, null, raw)) {
        case (#Consistent(#Ok(#Ok _))) {};
        case (#Consistent(#Ok(#NonceTooLow))) throw Error.reject "not sent: its nonce is used, so it or another is mined already";
        case (#Consistent(#Ok(#NonceTooHigh))) throw Error.reject "not sent: payments before it are missing";
        case (#Consistent(#Ok(#InsufficientFunds))) throw Error.reject "not sent: the address has too little ETH";
        case other throw failed("eth_sendRawTransaction", other)
      }
    };
  };
}
