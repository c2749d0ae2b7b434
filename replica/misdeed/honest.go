//go:build !byzantine

package misdeed

// On says whether this process commits a misdeed: never.
func On(Kind) bool { return false }
