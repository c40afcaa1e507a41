// SPDX-License-Identifier: Apache-2.0
// Equal values kept once, for as long as somebody refers to them.
#include "lib/intern/intern.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace sluice {
namespace {

using Pool = InternPool<std::string>;

TEST(Intern, EqualValuesAreOneEntry) {
  Pool pool;
  const Pool::Ref a = pool.intern("web");
  const Pool::Ref b = pool.intern(std::string("we") + "b");
  const Pool::Ref other = pool.intern("db");

  EXPECT_EQ(&*a, &*b);
  EXPECT_EQ(a, b);
  EXPECT_EQ(a.hash(), b.hash());
  EXPECT_NE(a, other);
  EXPECT_EQ(pool.size(), 2U);
}

TEST(Intern, ValueGoesWithItsLastReference) {
  Pool pool;
  {
    const Pool::Ref first = pool.intern("web");
    {
      const Pool::Ref copy = first;
      EXPECT_EQ(*copy, "web");
    }
    EXPECT_EQ(pool.size(), 1U);
  }
  EXPECT_EQ(pool.size(), 0U);
}

TEST(Intern, AssignmentLetsGoOfWhatWasReferredTo) {
  Pool pool;
  Pool::Ref ref = pool.intern("web");
  ref = pool.intern("db");
  EXPECT_EQ(pool.size(), 1U);
  const Pool::Ref& same = ref;
  ref = same;
  EXPECT_EQ(*ref, "db");

  ref = {};
  EXPECT_FALSE(ref);
  EXPECT_EQ(pool.size(), 0U);
}

TEST(Intern, MoveTakesTheReferenceAlong) {
  Pool pool;
  std::vector<Pool::Ref> refs;
  for (int i = 0; i < 100; ++i) refs.push_back(pool.intern(std::to_string(i % 3)));  // it grows

  EXPECT_EQ(pool.size(), 3U);
  const Pool::Ref taken = std::move(refs.back());
  refs.clear();
  EXPECT_EQ(*taken, "0");
  EXPECT_EQ(pool.size(), 1U);
}

}  // namespace
}  // namespace sluice
