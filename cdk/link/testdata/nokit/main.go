// Nokit is a program that has nothing to do with canisters.
package main

func main() {}
