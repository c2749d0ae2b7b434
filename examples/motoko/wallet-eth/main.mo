// Owns an Ethereum address: nobody has its key, 2f+1 replicas of the subnet sign together. The interface and what the answers mean are those of
// the wallet in Go (examples/go/wallet-eth).
import Array "mo:base/Array";
import Blob "mo:base/Blob";
import Debug "mo:base/Debug";
import Error "mo:base/Error";
import Nat "mo:base/Nat";
import Nat64 "mo:base/Nat64";
import Option "mo:base/Option";
import Principal "mo:base/Principal";
import Ethereum "ethereum";
import EvmRpc "evmrpc";
import Keccak "keccak";
import Secp256k1 "secp256k1";
import Typed "typed";

persistent actor class Wallet(init : { key : Text; chain_id : Nat64; evm_rpc : ?Principal }) {
  type KeyId = { curve : { #secp256k1 }; name : Text };
  type Management = actor {
    ecdsa_public_key : shared { canister_id : ?Principal; derivation_path : [Blob]; key_id : KeyId } -> async { public_key : Blob; chain_code : Blob };
    sign_with_ecdsa : shared { message_hash : Blob; derivation_path : [Blob]; key_id : KeyId } -> async { signature : Blob };
  };
  type Sent = { nonce : Nat64; hash : ?Text; problem : ?Text };
  type Fee = { priority : Nat; max : Nat };
  // A payment with its nonce. It stays as it is until the chain has used its nonce, so that sending again never pays again.
  type Order = { nonce : Nat; to : Ethereum.Address; value : Nat; data : [Nat8]; gas : Nat; fee : Fee; raw : ?[Nat8]; problem : ?Text };

  let keyId : KeyId = { curve = #secp256k1; name = init.key };
  let chain = Nat64.toNat(init.chain_id);
  let evmRpc = Option.get(init.evm_rpc, Principal.fromText "7hfb6-caaaa-aaaar-qadga-cai"); // the well-known one
  var next = 0; // the next payment's nonce, unless the chain is further
  var orders : [Order] = []; // by nonce

  transient var public_ : ?Secp256k1.Point = null; // the key, once asked for
  transient var busy : [Nat] = []; // nonces that are being signed or sent
  transient let management : Management = actor "aaaaa-aa";
  transient let rpc = EvmRpc.Client(evmRpc, init.chain_id);

  transient let gasETH = 21_000;
  transient let gasERC20 = 100_000; // what is left comes back
  transient let gasSwap = 300_000;
  transient let maxOrders = 20; // that are not mined
  transient let signatureCycles = 30_000_000_000; // on a subnet of 34 nodes it costs 26.2 billion; what is left comes back

  func allow(caller : Principal) : async* () {
    if (not Principal.isController caller) throw Error.reject "only controllers may use the wallet"
  };

  // Asks the subnet for the key the first time, hence no query.
  public func address() : async Text { Ethereum.address(await* self()) };

  public shared ({ caller }) func send_eth(to : Text, amount : Nat) : async Sent {
    await* spend(caller, Ethereum.parseAddress to, check amount, [], gasETH)
  };

  public shared ({ caller }) func erc20_transfer(token : Text, to : Text, amount : Nat) : async Sent {
    let data = Ethereum.concat([[0xa9, 0x05, 0x9c, 0xbb], Ethereum.big(Ethereum.number(Ethereum.parseAddress to), 32), Ethereum.big(check amount, 32)]);
    await* spend(caller, Ethereum.parseAddress token, 0, data, gasERC20)
  };

  // Exchanges ETH for tokens on a router with the interface of Uniswap V2, by swapExactETHForTokens(uint256,address[],address,uint256). weth is
  // what the router calls ETH in a path, the deadline is in seconds since 1970.
  public shared ({ caller }) func swap(a : { router : Text; weth : Text; token : Text; amount : Nat; min_tokens : Nat; deadline : Nat64 }) : async Sent {
    func word(n : Nat) : [Nat8] { Ethereum.big(n, 32) };
    func account(text : Text) : [Nat8] { word(Ethereum.number(Ethereum.parseAddress text)) };
    let path = Ethereum.concat([word 2, account(a.weth), account(a.token)]);
    let to = word(Ethereum.number(await* self()));
    let data = Ethereum.concat([[0x7f, 0xf3, 0x6a, 0xb5], word(check(a.min_tokens)), word 128, to, word(Nat64.toNat(a.deadline)), path]);
    await* spend(caller, Ethereum.parseAddress(a.router), check(a.amount), data, gasSwap)
  };

  // EIP-191.
  public shared ({ caller }) func sign_message(text : Text) : async Text {
    let bytes = Ethereum.utf8 text;
    let prefix = Ethereum.utf8("\u{19}Ethereum Signed Message:\n" # Nat.toText(bytes.size()));
    await* signFor(caller, Keccak.sum(Ethereum.concat([prefix, bytes])))
  };

  // EIP-712.
  public shared ({ caller }) func sign_typed_data(data : Typed.TypedData) : async Text {
    await* allow caller;
    await* signFor(caller, Typed.digest(data, chain))
  };

  // The payments that the chain was not seen to have mined.
  public query func pending() : async [Sent] { Array.map(orders, sent) };

  // Signs and sends what is pending.
  public shared ({ caller }) func resume() : async [Sent] {
    await* allow caller;
    ignore await* prepare();
    for (o in orders.vals()) {
      if (Option.isSome(find(o.nonce)) and not isBusy(o.nonce)) ignore await* carry(o.nonce)
    };
    Array.map(orders, sent)
  };

  // Puts a transaction that does nothing in a payment's place. Which of them is mined, the chain decides.
  public shared ({ caller }) func cancel(nonce : Nat64) : async Sent {
    await* allow caller;
    let now = await* prepare();
    let n = Nat64.toNat nonce;
    let ?o = find n else throw Error.reject("no payment with nonce " # Nat.toText n # " is pending");
    if (isBusy n) throw Error.reject("the payment with nonce " # Nat.toText n # " is being signed or sent");
    func more(old : Nat, new : Nat) : Nat { Nat.max(old + old / 10 + 1, new) }; // nodes replace a transaction for a tenth more
    let fee = { priority = more(o.fee.priority, now.priority); max = more(o.fee.max, now.max) };
    let to = await* self();
    set({ o with to; value = 0; data = []; gas = gasETH; fee; raw = null; problem = null });
    await* carry n
  };

  func check(amount : Nat) : Nat {
    if (amount >= 2 ** 256) Debug.trap "the amount has more than 256 bits";
    amount
  };

  func find(nonce : Nat) : ?Order { Array.find<Order>(orders, func o = o.nonce == nonce) };
  func set(new : Order) { orders := Array.map<Order, Order>(orders, func o = if (o.nonce == new.nonce) new else o) };
  func isBusy(nonce : Nat) : Bool { Array.find<Nat>(busy, func n = n == nonce) != null };
  func sent(o : Order) : Sent {
    { nonce = Nat64.fromNat(o.nonce); hash = Option.map<[Nat8], Text>(o.raw, func raw = Ethereum.hex(Keccak.sum raw)); problem = o.problem }
  };

  func publicKey() : async* Secp256k1.Point {
    switch public_ { case (?key) return key; case null {} };
    let { public_key } = await management.ecdsa_public_key({ canister_id = null; derivation_path = []; key_id = keyId });
    let bytes = Blob.toArray public_key;
    let key = Secp256k1.point(bytes[0] == 3, Ethereum.number(Array.subArray(bytes, 1, 32)));
    public_ := ?key;
    key
  };

  func self() : async* Ethereum.Address {
    let key = await* publicKey();
    Ethereum.addressOf(key.x, key.y)
  };

  func sign(digest : [Nat8]) : async* { odd : Bool; r : Nat; s : Nat } {
    let key = await* publicKey();
    let { signature } = await (with cycles = signatureCycles) management.sign_with_ecdsa({ message_hash = Blob.fromArray digest; derivation_path = []; key_id = keyId });
    let bytes = Blob.toArray signature;
    let r = Ethereum.number(Array.subArray(bytes, 0, 32));
    let ?whole = Secp256k1.complete(Ethereum.number digest, r, Ethereum.number(Array.subArray(bytes, 32, 32)), key) else throw Error.reject "the subnet's signature is wrong";
    { whole with r }
  };

  func signFor(caller : Principal, digest : [Nat8]) : async* Text {
    await* allow caller;
    let { odd; r; s } = await* sign digest;
    Ethereum.hex(Ethereum.concat([Ethereum.big(r, 32), Ethereum.big(s, 32), [if odd 28 else 27]]))
  };

  // Gives a payment a nonce and carries it out.
  func spend(caller : Principal, to : Ethereum.Address, value : Nat, data : [Nat8], gas : Nat) : async* Sent {
    await* allow caller;
    let fee = await* prepare();
    if (orders.size() >= maxOrders) throw Error.reject(Nat.toText(orders.size()) # " payments are pending: resume or cancel them first");
    // Other payments may have begun while the chain was asked. From here to the next await nobody comes in between.
    let nonce = next;
    next += 1;
    orders := Array.append(orders, [{ nonce; to; value; data; gas; fee; raw = null; problem = null }]);
    await* carry nonce
  };

  // Learns the fee and how many transactions of the wallet are mined, and forgets those orders.
  func prepare() : async* Fee {
    let { mined; fee } = await* rpc.ask(Ethereum.address(await* self()));
    next := Nat.max(next, mined);
    orders := Array.filter<Order>(orders, func o = o.nonce >= mined or isBusy(o.nonce));
    fee
  };

  // Has an order signed, unless it is, and sent. An order that is busy stays in the list.
  func carry(nonce : Nat) : async* Sent {
    func order() : Order { switch (find nonce) { case (?o) o; case null Debug.trap "an order is lost" } };
    busy := Array.append(busy, [nonce]);
    var problem : ?Text = null;
    try {
      let raw = switch (order().raw) {
        case (?raw) raw;
        case null {
          let o = order();
          let t = { o with chain; priorityFee = o.fee.priority; maxFee = o.fee.max };
          let signature = try await* sign(Keccak.sum(Ethereum.encode(t, null))) catch e throw Error.reject("not signed: " # Error.message e);
          let raw = Ethereum.encode(t, ?signature);
          set({ o with raw = ?raw });
          raw
        }
      };
      await* rpc.send(Ethereum.hex raw)
    } catch e { problem := ?Error.message e } finally { busy := Array.filter<Nat>(busy, func n = n != nonce) };
    set({ order() with problem });
    sent(order())
  };
}
