//go:build !linux

package hosts

import "fmt"

// Switch is not there on this system.
type Switch struct{}

// New returns ErrUnavailable.
func New(int, Links) (*Switch, error) { return nil, fmt.Errorf("%w: they are Linux's", ErrUnavailable) }

// In is not called, since there is no Switch.
func (*Switch) In(int, func() error) error { return ErrUnavailable }

// Publish is not called, since there is no Switch.
func (*Switch) Publish(int, string) error { return ErrUnavailable }

// Reach is not called, since there is no Switch.
func (*Switch) Reach(int, string) error { return ErrUnavailable }

// Unplug is not called, since there is no Switch.
func (*Switch) Unplug(int, int) error { return ErrUnavailable }

// Divide is not called, since there is no Switch.
func (*Switch) Divide(int, int, int) {}

// Close is not called, since there is no Switch.
func (*Switch) Close() error { return nil }
