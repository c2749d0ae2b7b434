// Package consent makes the messages of ICRC-21: what a user is shown before a wallet signs a call, in the two forms of displays. Canisters that are called by users
// import it; which calls have a message, and what it says, is theirs to decide. A text that a dapp chose must be parsed before it gets into a message.
package consent

import (
	"fmt"

	"fusion/ic/candid"
)

// The types of icrc21_canister_call_consent_message.
type (
	// Metadata is the language and time zone of a message.
	Metadata struct {
		Language         string `candid:"language"`
		UTCOffsetMinutes *int16 `candid:"utc_offset_minutes"`
	}
	// Device is the kind of display.
	Device struct {
		candid.Variant
		GenericDisplay *candid.Null
		FieldsDisplay  *candid.Null
	}
	// Spec says how the message is shown.
	Spec struct {
		Metadata   Metadata `candid:"metadata"`
		DeviceSpec *Device  `candid:"device_spec"`
	}
	// Request asks what a call would do.
	Request struct {
		Method          string `candid:"method"`
		Arg             []byte `candid:"arg"`
		UserPreferences Spec   `candid:"user_preferences"`
	}
	// Amount is a number of tokens, in the smallest unit.
	Amount struct {
		Decimals uint8  `candid:"decimals"`
		Amount   uint64 `candid:"amount"`
		Symbol   string `candid:"symbol"`
	}
	// Seconds is a time or a duration.
	Seconds struct {
		Amount uint64 `candid:"amount"`
	}
	// Text is a text.
	Text struct {
		Content string `candid:"content"`
	}
	// Value is the value of a field.
	Value struct {
		candid.Variant
		TokenAmount      *Amount
		TimestampSeconds *Seconds
		DurationSeconds  *Seconds
		Text             *Text
	}
	// Field is a value with its title.
	Field struct {
		Title string `candid:"0"`
		Value Value  `candid:"1"`
	}
	// Fields is a message for small displays.
	Fields struct {
		Intent string  `candid:"intent"`
		Fields []Field `candid:"fields"`
	}
	// Shown is a message in one of its forms.
	Shown struct {
		candid.Variant
		GenericDisplayMessage *string
		FieldsDisplayMessage  *Fields
	}
	// Info is a message with its language.
	Info struct {
		ConsentMessage Shown    `candid:"consent_message"`
		Metadata       Metadata `candid:"metadata"`
	}
	// ErrorInfo is for developers.
	ErrorInfo struct {
		Description string `candid:"description"`
	}
	// GenericError is an error without a name.
	GenericError struct {
		ErrorCode   candid.Nat `candid:"error_code"`
		Description string     `candid:"description"`
	}
	// Error says why there is no message.
	Error struct {
		candid.Variant
		UnsupportedCanisterCall   *ErrorInfo
		ConsentMessageUnavailable *ErrorInfo
		InsufficientPayment       *ErrorInfo
		GenericError              *GenericError
	}
	// Response is the result.
	Response struct {
		candid.Variant
		Ok  *Info
		Err *Error
	}
)

// maxArg bounds the argument that a message is made for.
const maxArg = 500

// Unsupported says that a call is none that has a message, or one that would be refused.
func Unsupported(format string, args ...any) Response {
	return Response{Err: &Error{UnsupportedCanisterCall: &ErrorInfo{fmt.Sprintf(format, args...)}}}
}

// Unavailable says that a call needs none.
func Unavailable(format string, args ...any) Response {
	return Response{Err: &Error{ConsentMessageUnavailable: &ErrorInfo{fmt.Sprintf(format, args...)}}}
}

// Parse reads the argument of the call.
func (r *Request) Parse(arg any) error {
	if len(r.Arg) > maxArg {
		return fmt.Errorf("it has %d bytes, at most %d are supported", len(r.Arg), maxArg)
	}
	return candid.Unmarshal(r.Arg, arg)
}

// Message collects a message in both of its forms.
type Message struct {
	Intent   string
	fields   []Field
	markdown string
}

// Field adds a field; text is its value for displays of text.
func (m *Message) Field(title string, v Value, text string) {
	m.fields = append(m.fields, Field{title, v})
	m.markdown += "\n\n**" + title + ":**\n`" + text + "`"
}

// Text adds a text.
func (m *Message) Text(title, s string) { m.Field(title, Value{Text: &Text{s}}, s) }

// For gives the message in the form that a request wants, in English whatever language it asks for.
func (m *Message) For(r *Request) Response {
	info := &Info{Metadata: Metadata{Language: "en"}}
	if d := r.UserPreferences.DeviceSpec; d != nil && d.FieldsDisplay != nil {
		info.ConsentMessage.FieldsDisplayMessage = &Fields{m.Intent, m.fields}
	} else {
		text := "# " + m.Intent + m.markdown
		info.ConsentMessage.GenericDisplayMessage = &text
	}
	return Response{Ok: info}
}
