package candid

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxText bounds the textual forms (values, types, interface files).
const maxText = 16 << 20

type tokenKind uint8

const (
	tokEOF tokenKind = iota
	tokID
	tokText   // content unescaped; may not be UTF-8 (blobs)
	tokNumber // as written, without underscores
	tokPunct  // one of ( ) { } : ; , = . -> == != !:
)

type token struct {
	kind tokenKind
	s    string
	pos  int
	doc  string // the comment lines directly before the token
}

func (t token) String() string {
	switch t.kind {
	case tokEOF:
		return "end of text"
	case tokText:
		return fmt.Sprintf("text %.40q", t.s)
	}
	return fmt.Sprintf("%.40q", t.s)
}

// lexer splits the common tokens of values, types, interface files and test files.
type lexer struct {
	src   string
	pos   int
	depth int
	tok   token
	err   error // the first error; the token is then tokEOF for ever
	// argument is where each argument of a list starts.
	argument []int
}

func newLexer(src string) (*lexer, error) {
	if len(src) > maxText {
		return nil, fmt.Errorf("%w: text of %d bytes", ErrLimit, len(src))
	}
	if !utf8.ValidString(src) {
		return nil, fmt.Errorf("%w: text is not UTF-8", ErrSyntax)
	}
	l := &lexer{src: src}
	l.next()
	return l, nil
}

func (l *lexer) failAt(pos int, sentinel error, format string, args ...any) {
	if l.err == nil {
		l.err = newTextError(l.src, pos, sentinel, fmt.Sprintf(format, args...))
	}
	l.tok = token{kind: tokEOF, pos: l.pos}
	l.pos = len(l.src)
}

func (l *lexer) fail(format string, args ...any) {
	l.failAt(l.tok.pos, ErrSyntax, format, args...)
}

// enter counts a level of nesting; every enter has a leave.
func (l *lexer) enter() {
	if l.depth++; l.depth > maxDepth {
		l.failAt(l.tok.pos, ErrLimit, "nested deeper than %d", maxDepth)
	}
}

func (l *lexer) leave() { l.depth-- }

func isIDStart(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool   { return c >= '0' && c <= '9' }

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// space skips blanks and comments and returns the text of the comment lines that stand directly before the next token.
func (l *lexer) space() (doc string) {
	var lines []string
	newlines := 0
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		switch {
		case c == '\n':
			if newlines++; newlines > 1 {
				lines = nil
			}
			l.pos++
		case c == ' ' || c == '\t' || c == '\r':
			l.pos++
		case strings.HasPrefix(l.src[l.pos:], "//"):
			end := strings.IndexByte(l.src[l.pos:], '\n')
			if end < 0 {
				end = len(l.src) - l.pos
			}
			lines = append(lines, strings.TrimSpace(strings.TrimLeft(l.src[l.pos:l.pos+end], "/")))
			l.pos += end
			newlines = 0
		case strings.HasPrefix(l.src[l.pos:], "/*"):
			start := l.pos
			for depth := 0; ; {
				rest := l.src[l.pos:]
				switch {
				case strings.HasPrefix(rest, "/*"):
					depth++
					l.pos += 2
				case strings.HasPrefix(rest, "*/"):
					depth--
					l.pos += 2
				case rest == "":
					l.failAt(start, ErrSyntax, "comment is not closed")
					return ""
				default:
					l.pos++
				}
				if depth == 0 {
					break
				}
			}
			newlines = 0
		default:
			return strings.Join(lines, "\n")
		}
	}
	return strings.Join(lines, "\n")
}

// next reads the next token into l.tok.
func (l *lexer) next() {
	if l.err != nil {
		return
	}
	doc := l.space()
	if l.err != nil {
		return
	}
	start := l.pos
	if start == len(l.src) {
		l.tok = token{kind: tokEOF, pos: start}
		return
	}
	kind := tokPunct
	c := l.src[start]
	switch {
	case isIDStart(c):
		kind = tokID
		for l.pos < len(l.src) && (isIDStart(l.src[l.pos]) || isDigit(l.src[l.pos])) {
			l.pos++
		}
	case isDigit(c) || (c == '+' || c == '-') && start+1 < len(l.src) && isDigit(l.src[start+1]):
		l.number(start)
		return
	case c == '"':
		l.text(start, doc)
		return
	default:
		n := 0
		for _, p := range []string{"->", "==", "!=", "!:", "(", ")", "{", "}", ":", ";", ",", "=", "."} {
			if strings.HasPrefix(l.src[start:], p) {
				n = len(p)
				break
			}
		}
		if n == 0 {
			r, _ := utf8.DecodeRuneInString(l.src[start:])
			l.failAt(start, ErrSyntax, "unexpected character %q", r)
			return
		}
		l.pos += n
	}
	l.tok = token{kind: kind, s: l.src[start:l.pos], pos: start, doc: doc}
}

func (l *lexer) number(start int) {
	digits := func(ok func(byte) bool) {
		for l.pos < len(l.src) && (ok(l.src[l.pos]) || l.src[l.pos] == '_') {
			l.pos++
		}
	}
	at := func(i int) byte {
		if l.pos+i < len(l.src) {
			return l.src[l.pos+i]
		}
		return 0
	}
	if c := l.src[l.pos]; c == '+' || c == '-' {
		l.pos++
	}
	if at(0) == '0' && at(1)|0x20 == 'x' {
		l.pos += 2
		digits(isHex)
	} else {
		digits(isDigit)
		if at(0) == '.' {
			l.pos++
			digits(isDigit)
		}
		if at(0)|0x20 == 'e' && (isDigit(at(1)) || (at(1) == '+' || at(1) == '-') && isDigit(at(2))) {
			l.pos += 2
			digits(isDigit)
		}
	}
	if l.pos < len(l.src) && isIDStart(l.src[l.pos]) {
		l.failAt(start, ErrSyntax, "malformed number")
		return
	}
	l.tok = token{kind: tokNumber, s: strings.ReplaceAll(l.src[start:l.pos], "_", ""), pos: start}
}

func hexVal(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

func (l *lexer) text(start int, doc string) {
	var b strings.Builder
	for l.pos++; ; {
		if l.pos >= len(l.src) {
			l.failAt(start, ErrSyntax, "text is not closed")
			return
		}
		c := l.src[l.pos]
		l.pos++
		if c == '"' {
			break
		}
		if c != '\\' {
			b.WriteByte(c)
			continue
		}
		if l.pos >= len(l.src) {
			continue
		}
		e := l.src[l.pos]
		l.pos++
		switch e {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case '\\', '"', '\'':
			b.WriteByte(e)
		case 'u':
			r, ok := rune(0), false
			if l.pos < len(l.src) && l.src[l.pos] == '{' {
				for l.pos++; l.pos < len(l.src) && (isHex(l.src[l.pos]) || ok && l.src[l.pos] == '_'); l.pos++ {
					if l.src[l.pos] == '_' {
						continue
					}
					if r, ok = r<<4|rune(hexVal(l.src[l.pos])), true; r > utf8.MaxRune {
						break
					}
				}
				ok = ok && l.pos < len(l.src) && l.src[l.pos] == '}' && utf8.ValidRune(r)
				l.pos++
			}
			if !ok {
				l.failAt(start, ErrSyntax, "malformed unicode escape")
				return
			}
			b.WriteRune(r)
		default:
			if !isHex(e) || l.pos >= len(l.src) || !isHex(l.src[l.pos]) {
				l.failAt(l.pos-2, ErrSyntax, "unknown escape")
				return
			}
			b.WriteByte(hexVal(e)<<4 | hexVal(l.src[l.pos]))
			l.pos++
		}
	}
	l.tok = token{kind: tokText, s: b.String(), pos: start, doc: doc}
}

func (l *lexer) is(kind tokenKind, s string) bool { return l.tok.kind == kind && l.tok.s == s }

// accept takes the token if it is the punctuation s.
func (l *lexer) accept(s string) bool {
	if l.is(tokPunct, s) {
		l.next()
		return true
	}
	return false
}

func (l *lexer) expect(s string) {
	if !l.accept(s) {
		l.fail("%v, want %q", l.tok, s)
	}
}

// validText returns the content of a text token where text, not bytes, is wanted.
func (l *lexer) validText() string {
	s := l.tok.s
	if l.tok.kind != tokText {
		l.fail("%v, want text", l.tok)
	} else if !utf8.ValidString(s) {
		l.fail("text is not UTF-8")
	}
	l.next()
	return s
}
