// Package pebblelog is the logger that our databases give to Pebble: errors go to slog, the narration of flushes and compactions goes nowhere, and what
// Pebble cannot go on after is a panic.
package pebblelog

import (
	"fmt"
	"log/slog"
)

// Logger implements pebble.Logger.
type Logger struct{}

// Infof drops a message.
func (Logger) Infof(string, ...any) {}

// Errorf passes a message to slog.
func (Logger) Errorf(format string, args ...any) {
	slog.Error("a database reports an error", "text", fmt.Sprintf(format, args...))
}

// Fatalf panics.
func (Logger) Fatalf(format string, args ...any) { panic("pebble: " + fmt.Sprintf(format, args...)) }
