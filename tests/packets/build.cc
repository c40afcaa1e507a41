// SPDX-License-Identifier: Apache-2.0
// Packets for tests: headers around payloads.
#include "tests/packets/build.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "tests/packets/checksum.h"

namespace sluice::test {

namespace {

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kFragmentHeaderBytes = 8;
constexpr uint16_t kMoreFragments = 0x2000;

uint8_t protocol(const Transport& transport, bool is_v6) {
  if (std::holds_alternative<Tcp>(transport)) return kProtoTcp;
  if (std::holds_alternative<Udp>(transport)) return kProtoUdp;
  if (std::holds_alternative<Icmp>(transport)) return is_v6 ? kProtoIcmp6 : kProtoIcmp;
  if (std::holds_alternative<Sctp>(transport)) return kProtoSctp;
  return std::get<Raw>(transport).proto;
}

Bytes with_ports(uint16_t sport, uint16_t dport) {
  Bytes out;
  append16(out, sport);
  append16(out, dport);
  return out;
}

Bytes body(const Ip& ip, const Tcp& tcp) {
  Bytes out = with_ports(tcp.sport, tcp.dport);
  append32(out, tcp.seq);
  append32(out, 0);
  append(out, {0x50, tcp.flags, 0xff, 0xff, 0, 0, 0, 0});
  append(out, tcp.payload);
  put16(out, 16, transport_checksum(ip.src, ip.dst, kProtoTcp, out));
  return out;
}

Bytes body(const Ip& ip, const Udp& udp) {
  Bytes out = with_ports(udp.sport, udp.dport);
  append16(out, static_cast<uint16_t>(8 + udp.payload.size()));
  append16(out, 0);
  append(out, udp.payload);
  if (udp.zero_checksum) return out;
  const uint16_t sum = transport_checksum(ip.src, ip.dst, kProtoUdp, out);
  put16(out, 6, sum == 0 ? uint16_t{0xffff} : sum);
  return out;
}

Bytes body(const Ip& ip, const Icmp& icmp) {
  Bytes out = {icmp.type, icmp.code, 0, 0};
  append32(out, icmp.rest);
  append(out, icmp.payload);
  put16(out, 2,
        ip.src.is_ipv4() ? internet_checksum(out)
                         : transport_checksum(ip.src, ip.dst, kProtoIcmp6, out));
  return out;
}

Bytes body(const Ip&, const Sctp& sctp) {
  Bytes out = with_ports(sctp.sport, sctp.dport);
  append32(out, 1);
  append32(out, 0);
  append(out, sctp.payload);
  const uint32_t sum = crc32c(out);
  for (unsigned i = 0; i < 4; i++) out[8 + i] = static_cast<uint8_t>(sum >> (8 * i));
  return out;
}

Bytes body(const Ip&, const Raw& raw) {
  return raw.payload;
}

Bytes ipv4(const Ip& ip, uint8_t proto, const Bytes& payload) {
  const size_t header = kIpv4Bytes + ip.options.size();
  const Fragment fragment = ip.fragment.value_or(Fragment{});
  Bytes out = {static_cast<uint8_t>(0x40 | header / 4), 0};
  append16(out, static_cast<uint16_t>(header + payload.size()));
  append16(out, static_cast<uint16_t>(fragment.id));
  append16(out, static_cast<uint16_t>((fragment.more ? kMoreFragments : 0) | fragment.offset / 8));
  append(out, {ip.ttl, proto, 0, 0});
  out.insert(out.end(), ip.src.bytes.begin() + 12, ip.src.bytes.end());
  out.insert(out.end(), ip.dst.bytes.begin() + 12, ip.dst.bytes.end());
  append(out, ip.options);
  put16(out, 10, internet_checksum(out));
  append(out, payload);
  return out;
}

Bytes extension(const Extension& extension, uint8_t next) {
  const size_t unit = extension.type == kExtAuthentication ? 4 : 8;
  const size_t length = std::max<size_t>(8, (extension.body.size() + 2 + unit - 1) / unit * unit);
  // AH counts words less two, the others eights less one.
  const size_t field = extension.type == kExtAuthentication ? length / 4 - 2 : length / 8 - 1;
  Bytes out = {next, static_cast<uint8_t>(field)};
  append(out, extension.body);
  out.resize(length);
  return out;
}

Bytes fragment_header(const Fragment& fragment, uint8_t next) {
  Bytes out = {next, 0};
  append16(out, static_cast<uint16_t>(fragment.offset | (fragment.more ? 1 : 0)));
  append32(out, fragment.id);
  return out;
}

Bytes ipv6(const Ip& ip, uint8_t proto, const Bytes& payload) {
  Bytes chain;
  uint8_t next = proto;
  if (ip.fragment) {
    chain = fragment_header(*ip.fragment, next);
    next = kExtFragment;
  }
  for (size_t i = ip.extensions.size(); i-- > 0;) {
    Bytes header = extension(ip.extensions[i], next);
    append(header, chain);
    chain = header;
    next = ip.extensions[i].type;
  }
  Bytes out = {0x60, 0, 0, 0};
  append16(out, static_cast<uint16_t>(chain.size() + payload.size()));
  append(out, {next, ip.ttl});
  append(out, Bytes(ip.src.bytes.begin(), ip.src.bytes.end()));
  append(out, Bytes(ip.dst.bytes.begin(), ip.dst.bytes.end()));
  append(out, chain);
  append(out, payload);
  return out;
}

bool is_ipv4_frame(const Bytes& whole) {
  return whole.size() > kEthernetBytes && whole[kEthernetBytes] >> 4 == 4;
}

// Frames without extension headers or options.
Bytes fragment_of(const Bytes& whole, size_t from, size_t to, uint32_t id) {
  const bool is_v4 = is_ipv4_frame(whole);
  const size_t start = kEthernetBytes + (is_v4 ? kIpv4Bytes : kIpv6Bytes);
  const Fragment fragment = {
      .offset = static_cast<uint16_t>(from), .more = start + to < whole.size(), .id = id};
  const auto at = [&](size_t offset) {
    return whole.begin() + static_cast<std::ptrdiff_t>(start + offset);
  };
  Bytes out(whole.begin(), at(0));
  if (is_v4) {
    put16(out, 18, static_cast<uint16_t>(id));
    put16(out, 20, static_cast<uint16_t>((fragment.more ? kMoreFragments : 0) | from / 8));
    put16(out, 16, static_cast<uint16_t>(kIpv4Bytes + to - from));
    put16(out, 24, 0);
    put16(out, 24, internet_checksum(Bytes(out.begin() + kEthernetBytes, out.end())));
  } else {
    append(out, fragment_header(fragment, out[20]));
    out[20] = kExtFragment;
    put16(out, 18, static_cast<uint16_t>(kFragmentHeaderBytes + to - from));
  }
  out.insert(out.end(), at(from), at(to));
  return out;
}

}  // namespace

void put16(Bytes& bytes, size_t offset, uint16_t value) {
  bytes.at(offset) = static_cast<uint8_t>(value >> 8);
  bytes.at(offset + 1) = static_cast<uint8_t>(value);
}

void put32(Bytes& bytes, size_t offset, uint32_t value) {
  put16(bytes, offset, static_cast<uint16_t>(value >> 16));
  put16(bytes, offset + 2, static_cast<uint16_t>(value));
}

void append16(Bytes& bytes, uint16_t value) {
  bytes.resize(bytes.size() + 2);
  put16(bytes, bytes.size() - 2, value);
}

void append32(Bytes& bytes, uint32_t value) {
  bytes.resize(bytes.size() + 4);
  put32(bytes, bytes.size() - 4, value);
}

void append(Bytes& bytes, const Bytes& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

Bytes packet(const Ip& ip, const Transport& transport) {
  const bool is_v6 = !ip.src.is_ipv4();
  const uint8_t proto = protocol(transport, is_v6);
  const Bytes payload = std::visit([&](const auto& one) { return body(ip, one); }, transport);
  return is_v6 ? ipv6(ip, proto, payload) : ipv4(ip, proto, payload);
}

Bytes frame(const Ethernet& ethernet, uint16_t type, const Bytes& payload) {
  Bytes out(ethernet.dst.bytes.begin(), ethernet.dst.bytes.end());
  out.insert(out.end(), ethernet.src.bytes.begin(), ethernet.src.bytes.end());
  append16(out, type);
  append(out, payload);
  return out;
}

Bytes frame(const Ethernet& ethernet, const Ip& ip, const Transport& transport) {
  return frame(ethernet, ip.src.is_ipv4() ? uint16_t{0x0800} : uint16_t{0x86dd},
               packet(ip, transport));
}

Bytes frame(const Ethernet& ethernet, const Arp& arp) {
  Bytes out = {0, 1, 8, 0, 6, 4};
  append16(out, arp.operation);
  append(out, Bytes(arp.sender_mac.bytes.begin(), arp.sender_mac.bytes.end()));
  append(out, Bytes(arp.sender.bytes.begin() + 12, arp.sender.bytes.end()));
  append(out, Bytes(arp.target_mac.bytes.begin(), arp.target_mac.bytes.end()));
  append(out, Bytes(arp.target.bytes.begin() + 12, arp.target.bytes.end()));
  return frame(ethernet, 0x0806, out);
}

std::vector<Bytes> fragments(const Bytes& whole, size_t first_bytes, uint32_t id) {
  const size_t header = kEthernetBytes + (is_ipv4_frame(whole) ? kIpv4Bytes : kIpv6Bytes);
  return {fragment_of(whole, 0, first_bytes, id),
          fragment_of(whole, first_bytes, whole.size() - header, id)};
}

Bytes truncated(const Bytes& whole, size_t length) {
  return {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)};
}

Bytes shortened(const Bytes& whole, size_t length) {
  Bytes out = truncated(whole, length);
  if (is_ipv4_frame(whole) && length >= kEthernetBytes + kIpv4Bytes) {
    put16(out, 16, static_cast<uint16_t>(length - kEthernetBytes));
    put16(out, 24, 0);
    put16(out, 24,
          internet_checksum(
              Bytes(out.begin() + kEthernetBytes, out.begin() + kEthernetBytes + kIpv4Bytes)));
  } else if (!is_ipv4_frame(whole) && length >= kEthernetBytes + kIpv6Bytes) {
    put16(out, 18, static_cast<uint16_t>(length - kEthernetBytes - kIpv6Bytes));
  }
  return out;
}

Address addr(std::string_view text) {
  const Result<Address> address = parse_address(text);
  if (address) return *address;
  std::fprintf(stderr, "not an address: %.*s\n", static_cast<int>(text.size()), text.data());
  std::abort();
}

}  // namespace sluice::test
