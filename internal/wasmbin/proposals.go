package wasmbin

// The bytes by which modules of extensions give themselves away, so that a refusal can name what the module needs.
var (
	opProposals = map[byte]string{
		0x06: "exceptions", 0x07: "exceptions", 0x08: "exceptions", 0x09: "exceptions", 0x0a: "exceptions", 0x18: "exceptions",
		0x19: "exceptions", 0x1f: "exceptions",
		0x14: "typed function references", 0x15: "typed function references", 0xd4: "typed function references",
		0xd5: "typed function references", 0xd6: "typed function references",
		0xd3: "garbage collection", 0xfb: "garbage collection", 0xfe: "threads",
		0xe0: "stack switching", 0xe1: "stack switching", 0xe2: "stack switching", 0xe3: "stack switching", 0xe4: "stack switching",
		0xe5: "stack switching",
	}
	prefixProposals  = map[byte]string{0xfd: "relaxed SIMD"}
	sectionProposals = map[byte]string{13: "exceptions", 14: "reference-typed strings"}
	kindProposals    = map[byte]string{4: "exceptions"}
	limitsProposals  = map[byte]string{2: "threads", 8: "custom page sizes"}
	formProposals    = map[byte]string{
		0x4e: "garbage collection", 0x4f: "garbage collection", 0x50: "garbage collection", 0x5e: "garbage collection",
		0x5f: "garbage collection", 0x5d: "stack switching",
	}
	typeProposals = map[byte]string{
		0x40: "typed function references", // a table with an initial value
		0x63: "typed function references", 0x64: "typed function references", 0x69: "exceptions", 0x74: "exceptions",
		0x6a: "garbage collection", 0x6b: "garbage collection", 0x6c: "garbage collection", 0x6d: "garbage collection",
		0x6e: "garbage collection", 0x71: "garbage collection", 0x72: "garbage collection", 0x73: "garbage collection",
	}
)

// proposal returns " (name)" of the extension that a byte belongs to, or nothing.
func proposal(names map[byte]string, b byte) string {
	if n := names[b]; n != "" {
		return " (" + n + ")"
	}
	return ""
}
