// Package bench measures what a network can do, beside the numbers that others reach: `make bench` prints the table and writes
// bench.json. docs/benchmarks.md explains each row and what it does not say.
//
// Starts are measured on the program itself, run as `fusion up` in a process of its own. Everything else runs on a network of
// four replicas in this process, clients included, so that the numbers are those of one machine and not of a data centre.
// References that can be measured are measured in the same run; the others are published numbers, named in the row.
//
// Nothing here is a test: numbers vary with the machine, and a slow one does not fail.
package bench
