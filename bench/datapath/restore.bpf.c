/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Benchmark only: BPF_PROG_TEST_RUN hands the same packet in again and again as the last run left
 * it. This wrapper puts the original headers (and, for new flows, another pair of ports) back, then
 * calls the program under measurement. The floor is the same wrapper in front of a program that
 * only returns.
 */
#include "bpf/core/bpf.h"

#define HEADER_MAX 74 /* Ethernet, IPv6, TCP */

char program_license[] SEC("license") = "Dual BSD/GPL";

struct original {
  __u8 header[HEADER_MAX];
  __u8 ports_offset; /* of the source port */
  __u8 vary;         /* 1: other ports every time */
  __u32 turn;
  __u32 mark;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct original);
} original SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} target_ingress SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} target_egress SEC(".maps");

static __always_inline void restore(struct __sk_buff* skb) {
  __u32 zero = 0;
  struct original* first = bpf_map_lookup_elem(&original, &zero);
  __u32 ports;

  if (!first) return;
  bpf_skb_store_bytes(skb, 0, first->header, HEADER_MAX, 0);
  skb->mark = first->mark;
  if (!first->vary) return;
  ports = first->turn++;
  bpf_skb_store_bytes(skb, first->ports_offset, &ports, sizeof(ports), 0);
}

SEC("tcx/ingress")
int restore_ingress(struct __sk_buff* skb) {
  restore(skb);
  bpf_tail_call(skb, &target_ingress, 0);
  return ACT_SHOT;
}

SEC("tcx/egress")
int restore_egress(struct __sk_buff* skb) {
  restore(skb);
  bpf_tail_call(skb, &target_egress, 0);
  return ACT_SHOT;
}

SEC("tcx/ingress")
int floor_ingress(struct __sk_buff* skb) {
  return skb->ifindex ? ACT_NEXT : ACT_SHOT;
}

SEC("tcx/egress")
int floor_egress(struct __sk_buff* skb) {
  return skb->ifindex ? ACT_NEXT : ACT_SHOT;
}
