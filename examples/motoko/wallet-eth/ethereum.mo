// Addresses, and transactions of EIP-1559.
import Array "mo:base/Array";
import Blob "mo:base/Blob";
import Char "mo:base/Char";
import Debug "mo:base/Debug";
import Iter "mo:base/Iter";
import Nat8 "mo:base/Nat8";
import Nat32 "mo:base/Nat32";
import Text "mo:base/Text";
import Keccak "keccak";

module {
  public type Address = [Nat8]; // 20
  public type Transaction = {
    chain : Nat;
    nonce : Nat;
    priorityFee : Nat; // in wei per gas
    maxFee : Nat;
    gas : Nat;
    to : Address;
    value : Nat; // in wei
    data : [Nat8];
  };

  public func concat(parts : [[Nat8]]) : [Nat8] { Array.flatten parts };

  public func utf8(text : Text) : [Nat8] { Blob.toArray(Text.encodeUtf8 text) };

  // The last bytes of a number. Those before are lost.
  public func big(number : Nat, size : Nat) : [Nat8] {
    Array.tabulate<Nat8>(size, func i = Nat8.fromNat(number / 256 ** (size - 1 - i : Nat) % 256))
  };

  public func number(bytes : [Nat8]) : Nat { Array.foldLeft<Nat8, Nat>(bytes, 0, func(n, b) = n * 256 + Nat8.toNat b) };

  let digits = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

  public func hex(bytes : [Nat8]) : Text {
    var text = "0x";
    for (b in bytes.vals()) text #= Char.toText(digits[Nat8.toNat(b / 16)]) # Char.toText(digits[Nat8.toNat(b % 16)]);
    text
  };

  // With the checksum of EIP-55, which is in the case of the letters.
  public func address(a : Address) : Text {
    let plain = Iter.toArray(hex(a).chars());
    let hash = Keccak.sum(utf8(Text.fromIter(Array.subArray(plain, 2, 40).vals())));
    func digit(i : Nat) : Char {
      let c = plain[i];
      if (i < 2 or c < 'a') return c;
      let b = hash[(i - 2 : Nat) / 2];
      if ((if (i % 2 == 0) b / 16 else b % 16) >= 8) Char.fromNat32(Char.toNat32 c - 32) else c
    };
    Text.fromIter(Array.tabulate(42, digit).vals())
  };

  // Letters of both cases must be in the pattern of the checksum.
  public func parseAddress(text : Text) : Address {
    let malformed = "malformed ethereum address: want 0x and 40 hexadecimal digits";
    if (text.size() != 42 or not Text.startsWith(text, #text "0x")) Debug.trap malformed;
    var lower = false;
    var upper = false;
    func value(c : Char) : Nat8 {
      func from(base : Char, plus : Nat8) : Nat8 { Nat8.fromNat(Nat32.toNat(Char.toNat32 c - Char.toNat32 base)) + plus };
      if (c >= '0' and c <= '9') return from('0', 0);
      if (c >= 'a' and c <= 'f') { lower := true; return from('a', 10) };
      if (c >= 'A' and c <= 'F') { upper := true; return from('A', 10) };
      Debug.trap malformed
    };
    let c = Iter.toArray(text.chars());
    let a = Array.tabulate<Nat8>(20, func i = value(c[2 * i + 2]) * 16 + value(c[2 * i + 3]));
    if (lower and upper and address a != text) Debug.trap("ethereum address has a wrong checksum: it would be " # address a);
    a
  };

  // The address of an uncompressed key.
  public func addressOf(x : Nat, y : Nat) : Address { Array.subArray(Keccak.sum(concat([big(x, 32), big(y, 32)])), 12, 20) };

  // RLP.
  func size(number : Nat) : Nat { if (number == 0) 0 else 1 + size(number / 256) };
  func head(short : Nat8, length : Nat) : [Nat8] {
    if (length < 56) return [short + Nat8.fromNat length];
    concat([[short + 55 + Nat8.fromNat(size length)], big(length, size length)])
  };
  func bytes(b : [Nat8]) : [Nat8] { if (b.size() == 1 and b[0] < 0x80) b else concat([head(0x80, b.size()), b]) };
  func nat(n : Nat) : [Nat8] { bytes(big(n, size n)) };

  // The transaction's bytes: with its signature, those that nodes take; without, those whose hash is signed.
  public func encode(t : Transaction, signature : ?{ odd : Bool; r : Nat; s : Nat }) : [Nat8] {
    let fields = concat([
      nat(t.chain), nat(t.nonce), nat(t.priorityFee), nat(t.maxFee), nat(t.gas), bytes(t.to), nat(t.value), bytes(t.data), head(0xc0, 0),
      switch signature { case null []; case (?g) concat([nat(if (g.odd) 1 else 0), nat(g.r), nat(g.s)]) },
    ]);
    concat([[2], head(0xc0, fields.size()), fields])
  };
}
