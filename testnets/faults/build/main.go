// Command build compiles a program with a clock and a disk that can be made wrong: the sources are the same, but the standard library is overlaid (go
// help build, -overlay) so that two variables of the environment, with which a process is started, change what the system says.
//
//	go run ./testnets/faults/build -o bin/fusion-faults ./cmd/fusion
//
//	FUSION_FAULT_CLOCK_SECONDS=-90    time.Now is so many seconds off; monotonic time, which measures how long something takes, is right
//	FUSION_FAULT_SYNC_MILLIS=200      each fsync and fdatasync takes so much longer
//
// Nothing of this is in the usual program. Linux only; another version of Go may need other places in its library, and then this says so.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// edit is a place in a file of the standard library, which must be there once.
type edit struct{ file, old, new string }

var edits = []edit{
	{"time/time.go", "\tsec, nsec, mono := runtimeNow()\n", "\tsec, nsec, mono := runtimeNow()\n\tsec += faultSeconds\n"},
	{"syscall/syscall_linux.go", `func Syscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err Errno) {
	runtime_entersyscall()
`, `func Syscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err Errno) {
	runtime_entersyscall()
	if faultDelays && (trap == SYS_FSYNC || trap == SYS_FDATASYNC) {
		RawSyscall6(SYS_NANOSLEEP, uintptr(unsafe.Pointer(&faultDelay)), 0, 0, 0, 0, 0)
	}
`},
}

// number reads a decimal number, without packages that the two that are changed could not import.
const number = `
func faultNumber(name string) (n int64) {
	text, _ := GETENV(name)
	sign := int64(1)
	for i := 0; i < len(text); i++ {
		if text[i] == '-' && i == 0 {
			sign = -1
		} else if text[i] < '0' || text[i] > '9' {
			panic(name + " is not a number")
		} else {
			n = n*10 + int64(text[i]-'0')
		}
	}
	return sign * n
}
`

// additions are new files.
var additions = map[string]string{
	"time/fault.go": "package time\n\nimport \"syscall\"\n\nvar faultSeconds = faultNumber(\"FUSION_FAULT_CLOCK_SECONDS\")\n" + strings.Replace(number, "GETENV", "syscall.Getenv", 1),
	"syscall/fault.go": "package syscall\n\nvar (\n\tfaultMillis = faultNumber(\"FUSION_FAULT_SYNC_MILLIS\")\n\tfaultDelay  = [2]int64{faultMillis / 1000, faultMillis % 1000 * 1_000_000}\n" +
		"\tfaultDelays = faultMillis > 0\n)\n" + strings.Replace(number, "GETENV", "Getenv", 1),
}

func main() {
	out := flag.String("o", "", "the program to write")
	flag.Parse()
	if *out == "" || flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: build -o FILE PACKAGE")
		os.Exit(2)
	}
	if err := run(*out, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(out, pkg string) (err error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("asking for GOROOT: %w", err)
	}
	// The same place each time, so that the compiler's cache knows it again.
	dir, err := filepath.Abs(out + ".overlay")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	replace := map[string]string{}
	write := func(file, text string) error {
		path := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		replace[filepath.Join(strings.TrimSpace(string(root)), "src", file)] = path
		return os.WriteFile(path, []byte(text), 0o644)
	}
	for _, e := range edits {
		b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "src", e.file))
		if err != nil {
			return err
		}
		if n := strings.Count(string(b), e.old); n != 1 {
			return fmt.Errorf("%s of this version of Go has %q %d times, want once", e.file, e.old, n)
		}
		if err := write(e.file, strings.Replace(string(b), e.old, e.new, 1)); err != nil {
			return err
		}
	}
	for file, text := range additions {
		if err := write(file, text); err != nil {
			return err
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, b, 0o644); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-overlay", list, "-o", out, pkg)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
