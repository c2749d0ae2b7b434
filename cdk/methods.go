package cdk

import (
	"fmt"
	"reflect"

	"fusion/ic/candid"
)

// None is the argument or result type of a method without any: () in Candid.
type None struct{}

// Args2 is a list of two arguments or results.
type Args2[A, B any] struct {
	First  A
	Second B
}

// Args3 is a list of three arguments or results.
type Args3[A, B, C any] struct {
	First  A
	Second B
	Third  C
}

// Args4 is a list of four.
type Args4[A, B, C, D any] struct {
	First  A
	Second B
	Third  C
	Fourth D
}

// list is implemented by the argument lists above; every other type is a list of one.
type list interface {
	pointers() []any
	types() []reflect.Type
}

func (*None) pointers() []any       { return nil }
func (*None) types() []reflect.Type { return nil }

func (a *Args2[A, B]) pointers() []any { return []any{&a.First, &a.Second} }
func (a *Args2[A, B]) types() []reflect.Type {
	return []reflect.Type{reflect.TypeFor[A](), reflect.TypeFor[B]()}
}

func (a *Args3[A, B, C]) pointers() []any { return []any{&a.First, &a.Second, &a.Third} }
func (a *Args3[A, B, C]) types() []reflect.Type {
	return []reflect.Type{reflect.TypeFor[A](), reflect.TypeFor[B](), reflect.TypeFor[C]()}
}

func (a *Args4[A, B, C, D]) pointers() []any { return []any{&a.First, &a.Second, &a.Third, &a.Fourth} }
func (a *Args4[A, B, C, D]) types() []reflect.Type {
	return []reflect.Type{reflect.TypeFor[A](), reflect.TypeFor[B](), reflect.TypeFor[C](), reflect.TypeFor[D]()}
}

// noArguments is the encoding of (). A call or install without any bytes means the same.
var noArguments = []byte("DIDL\x00\x00")

func decode(data []byte, dst any) error {
	if len(data) == 0 {
		data = noArguments
	}
	if l, ok := dst.(list); ok {
		return candid.Unmarshal(data, l.pointers()...)
	}
	return candid.Unmarshal(data, dst)
}

func encode(dst []byte, src any) ([]byte, error) {
	if l, ok := src.(list); ok {
		return candid.AppendPointed(dst, l.pointers()...)
	}
	return candid.AppendPointed(dst, src)
}

func typesOf[T any]() []*candid.Type {
	var zero T
	if l, ok := any(&zero).(list); ok {
		var ts []*candid.Type
		for _, t := range l.types() {
			ts = append(ts, typeOf(t))
		}
		return ts
	}
	return []*candid.Type{typeOf(reflect.TypeFor[T]())}
}

// typeOf panics for a Go type that has no Candid type: a mistake in the program, found when it is described or first started.
func typeOf(t reflect.Type) *candid.Type {
	ct, err := candid.TypeOf(t)
	if err != nil {
		panic(fmt.Sprintf("cdk: %v has no Candid type: %v", t, err))
	}
	return ct
}

func argument[A any](c *Canister, what string) A {
	var a A
	if err := decode(c.sys.Arg(), &a); err != nil {
		c.Trap("decode arguments of %s: %v", what, err)
	}
	return a
}

func reply[R any](m *Msg, r R) {
	data, err := encode(m.c.buf[:0], &r)
	if err != nil {
		m.c.Trap("encode reply of %s: %v", m.method, err)
	}
	m.Reply(data)
	if cap(data) <= maxBuffer {
		m.c.buf = data
	}
}

// Query registers a query method: A is its argument (None, one Candid value, Args2 to Args4) and R its result.
func Query[A, R any](c *Canister, name string, fn func(*Msg, A) R) {
	addTyped[A, R](c, name, candid.Query, func(m *Msg) {
		reply(m, fn(m, argument[A](c, name)))
	})
}

// Update registers an update method that answers before it returns.
func Update[A, R any](c *Canister, name string, fn func(*Msg, A) R) {
	addTyped[A, R](c, name, candid.Update, func(m *Msg) {
		reply(m, fn(m, argument[A](c, name)))
	})
}

// UpdateAsync registers an update method that answers by out, at once or from a callback of a call it made. A handler whose
// callbacks have all run without an answer makes the system reject the call.
func UpdateAsync[A, R any](c *Canister, name string, fn func(m *Msg, arg A, out *Reply[R])) {
	addTyped[A, R](c, name, candid.Update, func(m *Msg) {
		fn(m, argument[A](c, name), &Reply[R]{m})
	})
}

// CompositeQuery registers a query that may call queries of other canisters on the subnet, and answers by out, at once or from a callback.
// Only users can call it, and one replica answers alone, so the answer is not certified. Changes of the state are dropped.
func CompositeQuery[A, R any](c *Canister, name string, fn func(m *Msg, arg A, out *Reply[R])) {
	addTyped[A, R](c, name, candid.CompositeQuery, func(m *Msg) {
		fn(m, argument[A](c, name), &Reply[R]{m})
	})
}

// maxBuffer is the largest reply buffer that is kept for the next reply.
const maxBuffer = 1 << 16

func addTyped[A, R any](c *Canister, name string, kind candid.FuncMode, run func(*Msg)) {
	m := &method{name: name, kind: kind, run: run}
	if c.sys == nil { // only a description needs the types; building them costs time at every start
		m.args, m.res, m.typed = typesOf[A](), typesOf[R](), true
	}
	c.add(m)
}

// Reply answers one asynchronous call with one R.
type Reply[R any] struct{ m *Msg }

// Send replies. The call must not have been answered.
func (r *Reply[R]) Send(value R) { reply(r.m, value) }

// Reject rejects the call with code CanisterReject.
func (r *Reply[R]) Reject(format string, args ...any) { r.m.Reject(format, args...) }

// Init registers what runs once when the canister is installed.
func Init[A any](c *Canister, fn func(A)) {
	if c.sys == nil {
		c.initArgs = arguments(typesOf[A]())
	}
	c.OnInit(func() { fn(argument[A](c, "init")) })
}

// PostUpgrade registers what runs after an upgrade, on a fresh heap over the old stable memory. Make A a pointer to the
// argument of Init: upgrades without an argument then read as nil.
func PostUpgrade[A any](c *Canister, fn func(A)) {
	c.OnPostUpgrade(func() { fn(argument[A](c, "post_upgrade")) })
}
