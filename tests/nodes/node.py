# SPDX-License-Identifier: Apache-2.0
"""A node of a lab: a machine with an agent, and pods that are made by the CNI binary as a runtime makes them."""
from machine import Machine


class Node(Machine):
    def __init__(self, lab, name, index, **options):
        super().__init__(lab, name, full=True, **options)
        self.index = index
