package link

import (
	"math/big"

	"fusion/internal/wasmbin"
)

// sha256Constants are the round constants: the first 32 bits of the fractional parts of the cube roots of the first 64 primes
// (FIPS 180-4, section 4.2.2).
func sha256Constants() (k [64]uint32) {
	n := 0
	for p := int64(2); n < len(k); p++ {
		if !big.NewInt(p).ProbablyPrime(0) {
			continue
		}
		// floor(2^32 · cbrt(p)) = cbrt(p · 2^96), whose low 32 bits are the fraction's.
		target := new(big.Int).Lsh(big.NewInt(p), 96)
		lo, hi := new(big.Int), new(big.Int).Lsh(big.NewInt(1), 36)
		for one := big.NewInt(1); new(big.Int).Sub(hi, lo).Cmp(one) > 0; {
			mid := new(big.Int).Add(lo, hi)
			mid.Rsh(mid, 1)
			if cube := new(big.Int).Exp(mid, big.NewInt(3), nil); cube.Cmp(target) <= 0 {
				lo = mid
			} else {
				hi = mid
			}
		}
		k[n] = uint32(lo.Uint64())
		n++
	}
	return k
}

// sha256Initial is the first 32 bits of the fractional parts of the square roots of the first 8 primes (FIPS 180-4, section 5.3.3).
func sha256Initial() (h [8]uint32) {
	n := 0
	for p := int64(2); n < len(h); p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			root := new(big.Int).Sqrt(new(big.Int).Lsh(big.NewInt(p), 64)) // floor(2^32 · sqrt(p))
			h[n] = uint32(root.Uint64())
			n++
		}
	}
	return h
}

// sha256At is where the last, padded blocks are built: 128 bytes in the page around address 0.
const sha256At = 512

// sha256Sum hashes a message: (dst, src, size). The rounds are unrolled, so that the working variables are locals whose roles rotate
// instead of their values.
func sha256Sum() wasmbin.Code {
	const dst, src, size = 0, 1, 2
	const hash, vars, w, t, left, padded, i = 3, 11, 19, 35, 36, 37, 38
	k := sha256Constants()
	a := (&asm{}).local(8+8+16+4, i32)
	rotr := func(x uint32, by int32) { a.get(x).i32(by).op(opI32Rotr) }
	xor := func() { a.op(opI32Xor) }
	add := func() { a.op(wasmbin.OpI32Add) }
	and := func() { a.op(wasmbin.OpI32And) }
	// swap turns the word in t, which is also on the stack, into the other byte order.
	swap := func() {
		a.i32(8).op(opI32Rotl).i32(0x00ff00ff)
		and()
		rotr(t, 8)
		a.i32(-0x00ff0100)
		and()
		a.op(opI32Or)
	}

	for i, v := range sha256Initial() {
		a.i32(int32(v)).set(hash + uint32(i))
	}
	a.get(size).set(left)
	a.block().loop()
	a.get(left).i32(64).op(wasmbin.OpI32LtU).ifThen()
	{
		a.get(padded).brIf(2) // all is done
		a.i32(1).set(padded)
		for i := range uint64(16) { // memory.fill and memory.copy are metered for large areas
			a.i32(0).i64(0).store64(sha256At + 8*i)
		}
		// Copy eight bytes at a time, then single ones; i counts up, src stays.
		a.block().loop()
		a.get(left).get(i).op(wasmbin.OpI32Sub).i32(8).op(wasmbin.OpI32LtU).brIf(1)
		a.get(i).get(src).get(i).op(wasmbin.OpI32Add).mem(wasmbin.OpI64Load, 0, 0).mem(wasmbin.OpI64Store, 0, sha256At)
		a.get(i).i32(8).op(wasmbin.OpI32Add).set(i)
		a.br(0).end().end()
		a.block().loop()
		a.get(i).get(left).op(wasmbin.OpI32GeU).brIf(1)
		a.get(i).get(src).get(i).op(wasmbin.OpI32Add).mem(wasmbin.OpI32Load8U, 0, 0).mem(wasmbin.OpI32Store8, 0, sha256At)
		a.get(i).i32(1).op(wasmbin.OpI32Add).set(i)
		a.br(0).end().end()
		a.get(left).i32(0x80).mem(wasmbin.OpI32Store8, 0, sha256At)
		// 64, or 128 if the length does not fit behind the rest.
		a.i32(64).i32(128).get(left).i32(56).op(wasmbin.OpI32LtU, wasmbin.OpSelect).tee(left)
		// The length in bits, big-endian, in the last eight bytes; a message of a wasm memory has less than 2^35 bits.
		a.get(size).i32(3).op(opI32Shl).tee(t)
		swap()
		a.store32(sha256At - 4)
		a.get(left).get(size).i32(29).op(opI32ShrU).tee(t)
		swap()
		a.store32(sha256At - 8)
		a.i32(sha256At).set(src)
	}
	a.end()
	for i := range uint32(8) {
		a.get(hash + i).set(vars + i)
	}
	for i := range uint32(16) {
		a.get(src).mem(wasmbin.OpI32Load, 0, uint64(4*i)).tee(t)
		swap()
		a.set(w + i)
	}
	for i := range uint32(64) {
		v := func(role uint32) uint32 { return vars + (role+64-i)%8 } // roles a…h are 0…7
		A, B, C, D, E, F, G, H := v(0), v(1), v(2), v(3), v(4), v(5), v(6), v(7)
		wi := w + i%16
		if i >= 16 {
			w15, w2, w7 := w+(i+1)%16, w+(i+14)%16, w+(i+9)%16
			a.get(wi)
			rotr(w15, 7)
			rotr(w15, 18)
			xor()
			a.get(w15).i32(3).op(opI32ShrU)
			xor()
			add()
			a.get(w7)
			add()
			rotr(w2, 17)
			rotr(w2, 19)
			xor()
			a.get(w2).i32(10).op(opI32ShrU)
			xor()
			add()
			a.set(wi)
		}
		// t = h + Σ1(e) + Ch(e,f,g) + k + w
		a.get(H)
		rotr(E, 6)
		rotr(E, 11)
		xor()
		rotr(E, 25)
		xor()
		add()
		a.get(F).get(G).op(opI32Xor).get(E).op(wasmbin.OpI32And).get(G).op(opI32Xor)
		add()
		a.i32(int32(k[i]))
		add()
		a.get(wi)
		add()
		a.tee(t).get(D)
		add()
		a.set(D)
		// h = t + Σ0(a) + Maj(a,b,c)
		a.get(t)
		rotr(A, 2)
		rotr(A, 13)
		xor()
		rotr(A, 22)
		xor()
		add()
		a.get(A).get(B).op(opI32Xor).get(B).get(C).op(opI32Xor, wasmbin.OpI32And).get(B).op(opI32Xor)
		add()
		a.set(H)
	}
	for i := range uint32(8) { // 64 rounds turn the roles a whole number of times
		a.get(hash + i).get(vars + i)
		add()
		a.set(hash + i)
	}
	a.get(src).i32(64)
	add()
	a.set(src)
	a.get(left).i32(64).op(wasmbin.OpI32Sub).set(left)
	a.br(0).end().end()
	for i := range uint32(8) {
		a.get(dst).get(hash + i).tee(t)
		swap()
		a.mem(wasmbin.OpI32Store, 0, uint64(4*i))
	}
	return a.code()
}
