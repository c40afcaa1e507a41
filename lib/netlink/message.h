// SPDX-License-Identifier: Apache-2.0
// Inside lib/netlink: building and reading one rtnetlink message.
// message = nlmsghdr, family header (ifinfomsg, rtmsg, ...), attribute*; attribute = length(2)
// type(2) payload pad-to-4.
#pragma once

#include <libmnl/libmnl.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "lib/ip/ip.h"

namespace sluice::netlink_message {

// Every message that we send fits: the longest carries two names, an alias and a dozen numbers.
class Message {
 public:
  Message(uint16_t type, uint16_t flags) : header_(mnl_nlmsg_put_header(buffer_.data())) {
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  // Appends the zeroed header of the message's family.
  template <class T>
  T* put() {
    return static_cast<T*>(mnl_nlmsg_put_extra_header(header_, sizeof(T)));
  }
  nlmsghdr* header() { return header_; }

 private:
  alignas(nlmsghdr) std::array<char, 2048> buffer_{};
  nlmsghdr* header_;
};

inline uint8_t family_of(const Address& address) {
  return address.is_ipv4() ? AF_INET : AF_INET6;
}

// The address as its family writes it: 4 or 16 bytes.
inline void put_address(nlmsghdr* header, uint16_t attribute, const Address& address) {
  const size_t skip = address.is_ipv4() ? 12 : 0;
  mnl_attr_put(header, attribute, address.bytes.size() - skip, address.bytes.data() + skip);
}

// 4 or 16 bytes; anything else is no address.
inline Address address_from(const void* data, size_t size) {
  Address address;
  if (size == 4) {
    address.bytes[10] = 0xff;
    address.bytes[11] = 0xff;
    std::memcpy(address.bytes.data() + 12, data, 4);
  } else if (size == 16) {
    std::memcpy(address.bytes.data(), data, 16);
  }
  return address;
}

inline Address address_from(const nlattr* attribute) {
  return address_from(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));
}

inline Mac mac_from(const nlattr* attribute) {
  Mac mac;
  if (mnl_attr_get_payload_len(attribute) == mac.bytes.size()) {
    std::memcpy(mac.bytes.data(), mnl_attr_get_payload(attribute), mac.bytes.size());
  }
  return mac;
}

inline uint32_t u32_from(const nlattr* attribute) {
  uint32_t value = 0;
  if (mnl_attr_get_payload_len(attribute) >= sizeof(value)) {
    std::memcpy(&value, mnl_attr_get_payload(attribute), sizeof(value));
  }
  return value;
}

// Text with or without its closing zero byte.
inline std::string text_from(const nlattr* attribute) {
  const char* data = static_cast<const char*>(mnl_attr_get_payload(attribute));
  return std::string(data, strnlen(data, mnl_attr_get_payload_len(attribute)));
}

// Calls each(attribute) for the whole attributes in `bytes` bytes from `start`.
template <class Each>
void each_attribute(const void* start, size_t bytes, Each each) {
  const char* at = static_cast<const char*>(start);
  const char* end = at + bytes;
  while (at < end) {
    const auto* attribute = reinterpret_cast<const nlattr*>(at);
    if (!mnl_attr_ok(attribute, static_cast<int>(end - at))) return;
    each(attribute);
    at += MNL_ALIGN(attribute->nla_len);
  }
}

template <class Each>
void each_nested(const nlattr* parent, Each each) {
  each_attribute(mnl_attr_get_payload(parent), mnl_attr_get_payload_len(parent), each);
}

// Attributes of a message behind `fixed_bytes` of family header.
template <class Each>
void each_attribute(const nlmsghdr* header, size_t fixed_bytes, Each each) {
  const size_t skip = MNL_ALIGN(fixed_bytes);
  const size_t payload = mnl_nlmsg_get_payload_len(header);
  if (payload <= skip) return;
  const char* start = static_cast<const char*>(mnl_nlmsg_get_payload(header)) + skip;
  each_attribute(static_cast<const void*>(start), payload - skip, each);
}

}  // namespace sluice::netlink_message
