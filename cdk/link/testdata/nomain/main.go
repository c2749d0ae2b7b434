// Nomain imports the kit and does not call cdk.Main.
package main

import "fusion/cdk"

var _ cdk.Cycles

func main() {}
