#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints "PASSED FAILED SKIPPED" of a JUnit file that ctest or pytest wrote; exit status 1 where there is none."""
import sys
import xml.etree.ElementTree as xml

passed = failed = skipped = 0
try:
    for case in xml.parse(sys.argv[1]).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
            failed += 1
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
except (OSError, xml.ParseError) as why:
    sys.exit(f"count_tests: {sys.argv[1]}: {why}")
print(passed, failed, skipped)
