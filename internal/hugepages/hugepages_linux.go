package hugepages

import "golang.org/x/sys/unix"

// memory is the machine's, in bytes.
func memory() (uint64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, err
	}
	return uint64(info.Totalram) * uint64(info.Unit), nil // 32 bits on some processors
}

func advise(space []byte) error { return unix.Madvise(space, unix.MADV_HUGEPAGE) }
