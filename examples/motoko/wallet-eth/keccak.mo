// Keccak-256 as Ethereum has it, with the padding from before SHA-3.
import Array "mo:base/Array";
import Iter "mo:base/Iter";
import Nat8 "mo:base/Nat8";
import Nat64 "mo:base/Nat64";

module {
  let constants : [Nat64] = [
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b, 0x0000000080000001,
    0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003, 0x8000000000008002, 0x8000000000000080,
    0x000000000000800a, 0x800000008000000a, 0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
  ];
  let turns : [Nat64] = [1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44];
  let lanes = [10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1];
  let rate = 136;

  public func sum(data : [Nat8]) : [Nat8] {
    let a = Array.init<Nat64>(25, 0);
    let c = Array.init<Nat64>(5, 0);
    let size = data.size();
    let blocks = size / rate + 1;
    // The message, a bit, zeros, a bit.
    func at(i : Nat) : Nat64 {
      let byte : Nat8 = if (i < size) data[i] else if (i == size) 1 else 0;
      Nat64.fromNat(Nat8.toNat(if (i + 1 == blocks * rate) byte | 0x80 else byte))
    };
    for (block in Iter.range(0, blocks - 1)) {
      for (i in Iter.range(0, rate - 1)) a[i / 8] ^= at(block * rate + i) << Nat64.fromNat(i % 8 * 8);
      for (constant in constants.vals()) {
        for (x in Iter.range(0, 4)) c[x] := a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        for (i in Iter.range(0, 24)) a[i] ^= c[(i + 4) % 5] ^ (c[(i + 1) % 5] <<> 1);
        var moving = a[1];
        for (i in Iter.range(0, 23)) {
          let next = a[lanes[i]];
          a[lanes[i]] := moving <<> turns[i];
          moving := next
        };
        for (y in Iter.range(0, 4)) {
          for (x in Iter.range(0, 4)) c[x] := a[5 * y + x];
          for (x in Iter.range(0, 4)) a[5 * y + x] := c[x] ^ (^c[(x + 1) % 5] & c[(x + 2) % 5])
        };
        a[0] ^= constant
      }
    };
    Array.tabulate<Nat8>(32, func i = Nat8.fromNat(Nat64.toNat(a[i / 8] >> Nat64.fromNat(i % 8 * 8) & 0xff)))
  };
}
