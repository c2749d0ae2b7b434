// Typed data of EIP-712: what wallets show as JSON, as Candid.
import Array "mo:base/Array";
import Blob "mo:base/Blob";
import Debug "mo:base/Debug";
import Int "mo:base/Int";
import Iter "mo:base/Iter";
import Nat "mo:base/Nat";
import Text "mo:base/Text";
import Ethereum "ethereum";
import Keccak "keccak";

module {
  public type TypedData = {
    domain : { name : ?Text; version : ?Text; chain_id : ?Nat; verifying_contract : ?Text; salt : ?Blob };
    types : [Type]; // structures
    primary_type : Text;
    message : [Value]; // the fields of the primary type, in its order
  };
  public type Type = { name : Text; fields : [Field] };
  public type Field = { name : Text; type_ : Text };
  public type Value = {
    #string : Text; // of string and address
    #bytes : Blob; // of bytes and bytes1 to bytes32
    #number : Int; // of uint8 to uint256 and int8 to int256
    #boolean : Bool;
    #values : [Value]; // the elements of an array or the fields of a structure
  };
  type Word = [Nat8]; // 32

  let maxNesting = 32; // of structures and arrays in each other, which an attacker's types could make endless

  func hash(text : Text) : Word { Keccak.sum(Ethereum.utf8 text) };
  func wordAddress(text : Text) : Word { Ethereum.big(Ethereum.number(Ethereum.parseAddress text), 32) };
  func mismatch(kind : Text) : Word { Debug.trap("a value does not have type \"" # kind # "\"") };

  // What is to be signed. A domain of another chain is refused, as EIP-712 demands.
  public func digest(d : TypedData, chain : Nat) : Word {
    var fields : [Text] = [];
    var words : [Word] = [];
    func add(field : Text, word : Word) {
      fields := Array.append(fields, [field]);
      words := Array.append(words, [word])
    };
    switch (d.domain.name) { case (?name) add("string name", hash name); case null {} };
    switch (d.domain.version) { case (?version) add("string version", hash version); case null {} };
    switch (d.domain.chain_id) {
      case (?id) {
        if (id != chain) Debug.trap("the message is for chain " # Nat.toText id # ", the wallet on chain " # Nat.toText chain);
        add("uint256 chainId", Ethereum.big(id, 32))
      };
      case null {}
    };
    switch (d.domain.verifying_contract) { case (?text) add("address verifyingContract", wordAddress text); case null {} };
    switch (d.domain.salt) {
      case (?salt) {
        if (salt.size() != 32) Debug.trap("salt of " # Nat.toText(salt.size()) # " bytes, want 32");
        add("bytes32 salt", Blob.toArray salt)
      };
      case null {}
    };
    if (fields.size() == 0) Debug.trap "the domain is empty";
    for (t in d.types.vals()) {
      if (t.name == "" or Array.filter<Type>(d.types, func u = u.name == t.name).size() > 1) Debug.trap("type \"" # t.name # "\" is there twice or has no name")
    };
    if (find(d.types, d.primary_type) == null) Debug.trap("there is no type \"" # d.primary_type # "\"");
    let separator = structure("EIP712Domain(" # Text.join(",", fields.vals()) # ")", words);
    Keccak.sum(Ethereum.concat([[0x19, 0x01], separator, word(d.types, d.primary_type, #values(d.message), 0)]))
  };

  func find(types : [Type], name : Text) : ?Type { Array.find<Type>(types, func t = t.name == name) };

  func structure(kind : Text, words : [Word]) : Word { Keccak.sum(Ethereum.concat([hash kind, Ethereum.concat words])) };

  // A value's encoding as a field.
  func word(types : [Type], kind : Text, value : Value, depth : Nat) : Word {
    if (depth > maxNesting) Debug.trap "the message is nested too deeply";
    switch (arrayType kind, value) {
      case (?(element, length), #values elements) {
        switch length { case (?n) if (n != elements.size()) return mismatch kind; case null {} };
        return Keccak.sum(Ethereum.concat(Array.map<Value, Word>(elements, func e = word(types, element, e, depth + 1))))
      };
      case (?_, _) return mismatch kind;
      case _ {}
    };
    switch (find(types, kind), value) {
      case (?t, #values values) {
        if (values.size() != t.fields.size()) Debug.trap("a value of type \"" # kind # "\" needs " # Nat.toText(t.fields.size()) # " fields");
        return structure(encodeType(types, kind), Array.tabulate<Word>(values.size(), func i = word(types, t.fields[i].type_, values[i], depth + 1)))
      };
      case (?_, _) return mismatch kind;
      case _ {}
    };
    switch value {
      case (#string text) if (kind == "string") hash text else if (kind == "address") wordAddress text else mismatch kind;
      case (#boolean b) if (kind == "bool") Ethereum.big(if b 1 else 0, 32) else mismatch kind;
      case (#bytes b) {
        if (kind == "bytes") return Keccak.sum(Blob.toArray b);
        if (b.size() == 0 or b.size() > 32 or kind != "bytes" # Nat.toText(b.size())) return mismatch kind;
        let bytes = Blob.toArray b;
        Array.tabulate<Nat8>(32, func i = if (i < bytes.size()) bytes[i] else 0)
      };
      case (#number n) number(kind, n);
      case (#values _) mismatch kind
    }
  };

  // An integer, in two's complement.
  func number(kind : Text, n : Int) : Word {
    let (signed, size) = switch (Text.stripStart(kind, #text "uint"), Text.stripStart(kind, #text "int")) {
      case (?digits, _) (false, Nat.fromText digits);
      case (_, ?digits) (true, Nat.fromText digits);
      case _ return mismatch kind
    };
    let bits = switch size { case (?b) b; case null return mismatch kind };
    if (bits < 8 or bits > 256 or bits % 8 != 0) return mismatch kind;
    let most = 2 ** (if signed bits - 1 : Nat else bits);
    if (n >= most or n < (if signed -most else 0)) return mismatch kind;
    Ethereum.big(Int.abs(if (n < 0) n + 2 ** 256 else n), 32)
  };

  // T[] and T[n], taken apart.
  func arrayType(kind : Text) : ?(Text, ?Nat) {
    let ?inner = Text.stripEnd(kind, #char ']') else return null;
    let parts = Iter.toArray(Text.split(inner, #char '['));
    if (parts.size() < 2 or parts[0] == "") return null;
    let element = Text.join("[", Array.subArray(parts, 0, parts.size() - 1 : Nat).vals());
    let digits = parts[parts.size() - 1];
    if (digits == "") return ?(element, null);
    switch (Nat.fromText digits) { case (?n) ?(element, ?n); case null null }
  };

  // A structure's type as it is hashed: followed by those that it mentions, by name.
  func encodeType(types : [Type], primary : Text) : Text {
    var others : [Text] = [];
    func visit(name : Text) {
      let ?t = find(types, name) else return;
      for (f in t.fields.vals()) {
        let ?base = Text.split(f.type_, #char '[').next() else return;
        if (find(types, base) != null and base != primary and Array.find<Text>(others, func o = o == base) == null) {
          others := Array.append(others, [base]);
          visit base
        }
      }
    };
    visit primary;
    var text = "";
    for (name in Array.append([primary], Array.sort(others, Text.compare)).vals()) {
      let ?t = find(types, name) else return text;
      text #= name # "(" # Text.join(",", Array.map<Field, Text>(t.fields, func f = f.type_ # " " # f.name).vals()) # ")"
    };
    text
  };
}
