// Command probe prints what time it is in seconds, and how many milliseconds an fsync of the file in its argument took at least.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	f, err := os.Create(os.Args[1])
	if err != nil {
		panic(err)
	}
	began := time.Now()
	if err := f.Sync(); err != nil {
		panic(err)
	}
	fmt.Println(time.Now().Unix(), time.Since(began).Milliseconds())
}
