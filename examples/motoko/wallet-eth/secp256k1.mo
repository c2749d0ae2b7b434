// As much of the curve secp256k1 as it takes to find what Ethereum wants beside r and s: the parity of the point that r comes from.
import Int "mo:base/Int";

module {
  let p = 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f;
  let n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
  let generator : Point = {
    x = 0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798;
    y = 0x483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8;
    z = 1;
  };
  let infinity : Point = { x = 1; y = 1; z = 0 };

  public type Point = { x : Nat; y : Nat; z : Nat }; // of x/z² and y/z³

  func reduce(a : Int) : Nat { Int.abs((a % p + p) % p) };

  func power(base : Nat, exponent : Nat, modulus : Nat) : Nat {
    var result = 1;
    var square = base % modulus;
    var e = exponent;
    while (e > 0) {
      if (e % 2 == 1) result := result * square % modulus;
      square := square * square % modulus;
      e /= 2
    };
    result
  };

  // No point of the curve has y = 0.
  func double(a : Point) : Point {
    let yy = a.y * a.y % p;
    let s = 4 * a.x * yy % p;
    let m = 3 * a.x * a.x % p;
    let x = reduce(m * m - 2 * s : Int);
    { x; y = reduce(m * (s - x : Int) - 8 * yy * yy); z = 2 * a.y * a.z % p }
  };

  func add(a : Point, b : Point) : Point {
    if (a.z == 0) return b;
    if (b.z == 0) return a;
    let aa = a.z * a.z % p;
    let bb = b.z * b.z % p;
    let u = a.x * bb % p;
    let s = a.y * bb * b.z % p;
    let h = reduce(b.x * aa - u : Int);
    let r = reduce(b.y * aa * a.z - s : Int);
    if (h == 0) return if (r == 0) double a else infinity;
    let hh = h * h % p;
    let v = u * hh % p;
    let x = reduce(r * r - h * hh - 2 * v : Int);
    { x; y = reduce(r * (v - x : Int) - s * h * hh); z = h * a.z * b.z % p }
  };

  // A public key from its compressed form: the parity of y, and x.
  public func point(odd : Bool, x : Nat) : Point {
    let y = power(x * x % p * x + 7, (p + 1) / 4, p);
    { x; y = if ((y % 2 == 1) == odd) y else p - y; z = 1 }
  };

  // Checks a signature of a digest, all as numbers. The s of the result is the lower one of two that would do.
  public func complete(digest : Nat, r : Nat, s : Nat, key : Point) : ?{ s : Nat; odd : Bool } {
    if (r == 0 or s == 0 or r >= n or s >= n) return null;
    let inverse = power(s, n - 2, n);
    let u = digest % n * inverse % n;
    let v = r * inverse % n;
    let both = add(generator, key);
    var sum = infinity;
    var bit = 2 ** 255;
    while (bit > 0) {
      if (sum.z != 0) sum := double sum;
      switch (u / bit % 2, v / bit % 2) {
        case (1, 1) sum := add(sum, both);
        case (1, _) sum := add(sum, generator);
        case (_, 1) sum := add(sum, key);
        case _ {}
      };
      bit /= 2
    };
    if (sum.z == 0) return null;
    let z = power(sum.z, p - 2, p);
    if (sum.x * z % p * z % p != r) return null;
    let odd = sum.y * z % p * z % p * z % p % 2 == 1;
    if (s > n / 2) ?{ s = n - s; odd = not odd } else ?{ s; odd }
  };
}
