// SPDX-License-Identifier: Apache-2.0

// The stock Hubble command line, to watch Sluice's flows with a client that is not ours.
package main

import (
	"fmt"
	"os"

	"github.com/cilium/cilium/hubble/cmd"
)

func main() {
	if err := cmd.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "hubble:", err)
		os.Exit(1)
	}
}
