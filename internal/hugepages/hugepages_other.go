//go:build !linux

package hugepages

func memory() (uint64, error) { return 0, nil }

func advise([]byte) error { return nil }
