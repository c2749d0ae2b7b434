package rpc

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of what is read, whatever the caller's limit of bytes.
const (
	MaxBytes  = 16 << 20 // of one JSON text
	maxDepth  = 32       // of nested arrays and objects
	maxValues = 1 << 20  // of one JSON text of any shape
	maxKey    = 256      // bytes of an object's key
)

// ErrMalformed is what every parser returns for bytes that are not what was asked for; test with errors.Is.
var ErrMalformed = errors.New("malformed JSON-RPC data")

// decoder reads JSON (RFC 8259) from the front of b. It allocates nothing for what it skips, so that reading costs no more than the text is long.
// There is no encoding/json here because canisters import this package: reflection is a third of a small canister.
type decoder struct {
	b      []byte
	i      int
	depth  int
	values int
}

func (d *decoder) fail(format string, args ...any) error {
	return fmt.Errorf("%w: byte %d: %s", ErrMalformed, d.i, fmt.Sprintf(format, args...))
}

// parse reads one whole text with f.
func parse(b []byte, f func(*decoder) error) error {
	if len(b) > MaxBytes {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrMalformed, len(b), MaxBytes)
	}
	d := decoder{b: b}
	if err := f(&d); err != nil {
		return err
	}
	if d.space(); d.i != len(d.b) {
		return d.fail("text after the value")
	}
	return nil
}

func (d *decoder) space() {
	for d.i < len(d.b) && (d.b[d.i] == ' ' || d.b[d.i] == '\n' || d.b[d.i] == '\t' || d.b[d.i] == '\r') {
		d.i++
	}
}

// peek is the first byte of the next value, 0 at the end.
func (d *decoder) peek() byte {
	d.space()
	if d.i == len(d.b) {
		return 0
	}
	return d.b[d.i]
}

// take reads one expected byte.
func (d *decoder) take(c byte) error {
	if d.peek() != c {
		return d.fail("want %q", c)
	}
	d.i++
	return nil
}

// literal reads true, false or null.
func (d *decoder) literal(s string) error {
	if !bytes.HasPrefix(d.b[d.i:], []byte(s)) {
		return d.fail("want %s", s)
	}
	d.i += len(s)
	return nil
}

// null reads null, if that is what comes.
func (d *decoder) null() (bool, error) {
	if d.peek() != 'n' {
		return false, nil
	}
	return true, d.literal("null")
}

func (d *decoder) boolean() (bool, error) {
	if d.peek() == 't' {
		return true, d.literal("true")
	}
	return false, d.literal("false")
}

// enter counts a value and a level; leave takes the level back.
func (d *decoder) enter() error {
	if d.depth++; d.depth > maxDepth {
		return d.fail("nested deeper than %d", maxDepth)
	}
	return d.count()
}

func (d *decoder) leave() { d.depth-- }

func (d *decoder) count() error {
	if d.values++; d.values > maxValues {
		return d.fail("more than %d values", maxValues)
	}
	return nil
}

// array reads an array of at most the given number of elements, each with f.
func (d *decoder) array(most int, f func() error) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	if err := d.take('['); err != nil {
		return err
	}
	if d.peek() == ']' {
		d.i++
		return nil
	}
	for n := 0; ; n++ {
		if n == most {
			return d.fail("more than %d elements", most)
		}
		if err := d.count(); err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
		if d.peek() == ']' {
			d.i++
			return nil
		}
		if err := d.take(','); err != nil {
			return err
		}
	}
}

// object reads an object; f reads the value of a key, or skips it.
func (d *decoder) object(f func(key []byte) error) error {
	if err := d.enter(); err != nil {
		return err
	}
	defer d.leave()
	if err := d.take('{'); err != nil {
		return err
	}
	if d.peek() == '}' {
		d.i++
		return nil
	}
	for {
		if err := d.count(); err != nil {
			return err
		}
		d.space()
		key, err := d.str()
		if err != nil {
			return err
		}
		if len(key) > maxKey {
			return d.fail("a key of %d bytes", len(key))
		}
		if err := d.take(':'); err != nil {
			return err
		}
		if err := f(key); err != nil {
			return err
		}
		if d.peek() == '}' {
			d.i++
			return nil
		}
		if err := d.take(','); err != nil {
			return err
		}
	}
}

// str reads a string. Without escapes the result is a part of the input.
func (d *decoder) str() ([]byte, error) {
	if err := d.take('"'); err != nil {
		return nil, err
	}
	start := d.i
	ascii := true
	for d.i < len(d.b) {
		switch c := d.b[d.i]; {
		case c == '"':
			s := d.b[start:d.i]
			d.i++
			if !ascii && !utf8.Valid(s) {
				return nil, d.fail("a string is not UTF-8")
			}
			return s, nil
		case c == '\\':
			return d.escaped(start)
		case c < ' ':
			return nil, d.fail("a control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
		d.i++
	}
	return nil, d.fail("a string does not end")
}

const (
	escapes   = `"\/bfnrt`
	unescaped = "\"\\/\b\f\n\r\t"
)

// escaped reads the rest of a string that has an escape at d.i.
func (d *decoder) escaped(start int) ([]byte, error) {
	out := slices.Clone(d.b[start:d.i])
	for d.i < len(d.b) {
		c := d.b[d.i]
		d.i++
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				return nil, d.fail("a string is not UTF-8")
			}
			return out, nil
		case c < ' ':
			return nil, d.fail("a control character in a string")
		case c != '\\':
			out = append(out, c)
			continue
		}
		if d.i == len(d.b) {
			break
		}
		c = d.b[d.i]
		d.i++
		if k := bytes.IndexByte([]byte(escapes), c); k >= 0 {
			out = append(out, unescaped[k])
			continue
		}
		if c != 'u' {
			return nil, d.fail("an unknown escape")
		}
		r, err := d.hex4()
		if err != nil {
			return nil, err
		}
		if utf16.IsSurrogate(r) {
			if !bytes.HasPrefix(d.b[d.i:], []byte(`\u`)) {
				return nil, d.fail("half of a surrogate pair")
			}
			d.i += 2
			low, err := d.hex4()
			if err != nil {
				return nil, err
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return nil, d.fail("half of a surrogate pair")
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return nil, d.fail("a string does not end")
}

func (d *decoder) hex4() (r rune, _ error) {
	if len(d.b)-d.i < 4 {
		return 0, d.fail("a string does not end")
	}
	for range 4 {
		v := nibble(d.b[d.i])
		if v > 15 {
			return 0, d.fail("an escape without four hexadecimal digits")
		}
		r = r<<4 | rune(v)
		d.i++
	}
	return r, nil
}

// number reads the text of a number.
func (d *decoder) number() ([]byte, error) {
	d.space()
	start := d.i
	digits := func() bool {
		from := d.i
		for d.i < len(d.b) && d.b[d.i] >= '0' && d.b[d.i] <= '9' {
			d.i++
		}
		return d.i > from
	}
	at := func(set string) bool {
		if d.i < len(d.b) && bytes.IndexByte([]byte(set), d.b[d.i]) >= 0 {
			d.i++
			return true
		}
		return false
	}
	at("-")
	if !at("0") && !digits() {
		return nil, d.fail("want a value")
	}
	if at(".") && !digits() {
		return nil, d.fail("a number ends in its point")
	}
	if at("eE") {
		at("+-")
		if !digits() {
			return nil, d.fail("a number without its exponent")
		}
	}
	return d.b[start:d.i], nil
}

// skip reads any value and forgets it.
func (d *decoder) skip() error {
	switch d.peek() {
	case '{':
		return d.object(func([]byte) error { return d.skip() })
	case '[':
		return d.array(maxValues, d.skip)
	case '"':
		_, err := d.str()
		return err
	case 't', 'f':
		_, err := d.boolean()
		return err
	case 'n':
		_, err := d.null()
		return err
	}
	_, err := d.number()
	return err
}

// raw is the text of the next value.
func (d *decoder) raw() ([]byte, error) {
	d.space()
	start := d.i
	err := d.skip()
	return d.b[start:d.i], err
}

// canonical appends the next value: no space, keys in the order of their bytes, each once, strings with the least escapes, numbers as they were written.
func (d *decoder) canonical(out []byte) (_ []byte, err error) {
	switch d.peek() {
	case '{':
		type member struct{ key, value []byte }
		var members []member
		err := d.object(func(key []byte) error {
			v, err := d.canonical(nil)
			members = append(members, member{key, v})
			return err
		})
		if err != nil {
			return nil, err
		}
		slices.SortFunc(members, func(a, b member) int { return bytes.Compare(a.key, b.key) })
		out = append(out, '{')
		for i, m := range members {
			if i > 0 {
				if bytes.Equal(m.key, members[i-1].key) {
					return nil, d.fail("key %.40q twice", m.key)
				}
				out = append(out, ',')
			}
			out = append(appendString(out, m.key), ':')
			out = append(out, m.value...)
		}
		return append(out, '}'), nil
	case '[':
		out = append(out, '[')
		first := true
		err := d.array(maxValues, func() error {
			if !first {
				out = append(out, ',')
			}
			first = false
			out, err = d.canonical(out)
			return err
		})
		return append(out, ']'), err
	case '"':
		s, err := d.str()
		return appendString(out, s), err
	}
	v, err := d.raw()
	return append(out, v...), err
}

// Canonical is a JSON text in the one form in which answers are compared: no space, keys sorted, strings with the least escapes.
func Canonical(text []byte) (out []byte, err error) {
	err = parse(text, func(d *decoder) error {
		out, err = d.canonical(make([]byte, 0, len(text)))
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func appendString(out, s []byte) []byte {
	out = append(out, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, `\n`...)
		case c == '\t':
			out = append(out, `\t`...)
		case c == '\r':
			out = append(out, `\r`...)
		case c < ' ':
			out = append(out, `\u00`...)
			out = append(out, hexDigits[c>>4], hexDigits[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

const hexDigits = "0123456789abcdef"

// nibble is the value of a hexadecimal digit, more than 15 for anything else.
func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
