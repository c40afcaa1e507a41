// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Keeps what agnhost needs in go.mod: it is built from this module too, so both share one build cache.
package main

import _ "k8s.io/kubernetes/test/images/agnhost"
