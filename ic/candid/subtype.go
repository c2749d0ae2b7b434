package candid

import (
	"fmt"
	"strconv"
)

// subtypeQuota bounds a subtype check that is not part of decoding.
const subtypeQuota = 1 << 22

// SubtypeError says where and why one type is not a subtype of another. It matches ErrType, or ErrLimit if the check was too costly.
type SubtypeError struct {
	Path   string // from the outermost type, such as ".transfer argument 0.from"
	Reason string
	kind   error
}

func (e *SubtypeError) Error() string {
	if e.Path == "" {
		return "not a subtype: " + e.Reason
	}
	return "not a subtype at " + e.Path + ": " + e.Reason
}

// Unwrap returns the sentinel.
func (e *SubtypeError) Unwrap() error { return e.kind }

// Subtype returns nil when every value of sub can be read at super by the rules of the specification, section "Subtyping". These let any
// type pass for an opt, as the reader then sees null. See SubtypeStrict for a check that an interface can stand in for another without such losses.
func Subtype(sub, super *Type) error {
	s := subtyper{quota: subtypeQuota}
	if err := s.check(sub, super); err != nil {
		return err
	}
	return nil
}

// SubtypeStrict is Subtype without the special rule of opt: opt t is a subtype of opt u only if t is one of u, a type that is no opt only if it is
// one of u itself. So nothing that sub says is ever silently read as null at super.
func SubtypeStrict(sub, super *Type) error {
	s := subtyper{quota: subtypeQuota, strict: true}
	if err := s.check(sub, super); err != nil {
		return err
	}
	return nil
}

type typePair struct{ sub, super *Type }

type subtyper struct {
	quota  uint64
	strict bool
	depth  int
	seen   map[typePair]bool
}

func fail(reason string, args ...any) *SubtypeError {
	return &SubtypeError{Reason: fmt.Sprintf(reason, args...), kind: ErrType}
}

func (e *SubtypeError) at(segment string) *SubtypeError {
	if len(e.Path) < 1024 {
		e.Path = segment + e.Path
	}
	return e
}

// check decides sub <: super. A pair that is met again while its own check runs is assumed to hold, which is right because nothing in a check
// recovers from a failure: an assumption that proves wrong fails the whole.
func (s *subtyper) check(sub, super *Type) *SubtypeError {
	if sub == super || super.Kind == KindReserved || sub.Kind == KindEmpty {
		return nil
	}
	if s.quota == 0 {
		return &SubtypeError{Reason: "the types are too large to compare", kind: ErrLimit}
	}
	s.quota--
	switch super.Kind {
	case KindOpt:
		if !s.strict || sub.Kind == KindNull {
			return nil
		}
	case KindRecord, KindVariant, KindVec, KindFunc, KindService:
		if sub.Kind != super.Kind {
			return fail("%s is not %s", sub.Kind, super.Kind)
		}
	case KindInt:
		if sub.Kind == KindInt || sub.Kind == KindNat {
			return nil
		}
		return fail("%s is not int", sub.Kind)
	case KindPrincipal:
		if sub.Kind == KindPrincipal || sub.Kind == KindService {
			return nil
		}
		return fail("%s is not principal", sub.Kind)
	default:
		if sub.Kind != super.Kind || super.Kind == KindFuture {
			return fail("%s is not %s", sub.Kind, super.Kind)
		}
		return nil
	}
	pair := typePair{sub, super}
	if s.seen[pair] {
		return nil
	}
	if s.depth >= maxDepth {
		return &SubtypeError{Reason: "types nested too deeply", kind: ErrLimit}
	}
	if s.seen == nil {
		s.seen = map[typePair]bool{}
	}
	s.seen[pair] = true
	s.depth++
	err := s.composite(sub, super)
	s.depth--
	if err != nil && s.depth == 0 {
		s.seen = nil
	}
	return err
}

func (s *subtyper) composite(sub, super *Type) *SubtypeError {
	switch super.Kind {
	case KindOpt: // strict only
		if sub.Kind == KindOpt {
			return s.check(sub.Elem, super.Elem)
		}
		inner := super.Elem
		for range maxDepth {
			if inner.Kind != KindOpt {
				return s.check(sub, inner)
			}
			inner = inner.Elem
		}
		return fail("%s is not an endless opt", sub.Kind)
	case KindVec:
		if err := s.check(sub.Elem, super.Elem); err != nil {
			return err.at("[]")
		}
	case KindRecord:
		i := 0
		for _, want := range super.Fields {
			for i < len(sub.Fields) && sub.Fields[i].ID < want.ID {
				i++
			}
			if i < len(sub.Fields) && sub.Fields[i].ID == want.ID {
				if err := s.check(sub.Fields[i].Type, want.Type); err != nil {
					return err.at("." + want.Label())
				}
			} else if !want.Type.mayBeAbsent() {
				return fail("record lacks field %s", want.Label())
			}
		}
	case KindVariant:
		i := 0
		for _, have := range sub.Fields {
			for i < len(super.Fields) && super.Fields[i].ID < have.ID {
				i++
			}
			if i >= len(super.Fields) || super.Fields[i].ID != have.ID {
				return fail("alternative %s is not expected", have.Label())
			}
			if err := s.check(have.Type, super.Fields[i].Type); err != nil {
				return err.at("#" + super.Fields[i].Label())
			}
		}
	case KindFunc:
		if sub.Func.Mode != super.Func.Mode {
			return fail("annotation %q is not %q", sub.Func.Mode, super.Func.Mode)
		}
		if err := s.tuple(super.Func.Args, sub.Func.Args); err != nil { // contravariant
			return err.at(" argument ")
		}
		if err := s.tuple(sub.Func.Results, super.Func.Results); err != nil {
			return err.at(" result ")
		}
	case KindService:
		i := 0
		for _, want := range super.Methods {
			for i < len(sub.Methods) && sub.Methods[i].Name < want.Name {
				i++
			}
			if i >= len(sub.Methods) || sub.Methods[i].Name != want.Name {
				return fail("service lacks method %s", want.Name)
			}
			if err := s.check(sub.Methods[i].Type, want.Type); err != nil {
				return err.at("." + want.Name)
			}
		}
	}
	return nil
}

// tuple compares argument lists, which are records of consecutive ids.
func (s *subtyper) tuple(sub, super []Arg) *SubtypeError {
	for i, want := range super {
		if i < len(sub) {
			if err := s.check(sub[i].Type, want.Type); err != nil {
				return err.at(strconv.Itoa(i))
			}
		} else if !want.Type.mayBeAbsent() {
			return fail("number %d is missing", i)
		}
	}
	return nil
}

func describe(t *Type) string {
	if t.Name != "" {
		return t.Name
	}
	return t.Kind.String()
}
