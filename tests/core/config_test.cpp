#include "vlm/core/config.h"

#include <gtest/gtest.h>

#include "vlm/core/config_json.h"
#include "vlm/core/error.h"

namespace vlm {
namespace config_test {

struct Inner {
  int64_t heads = 4;
  std::vector<int64_t> sizes = {1, 2};
  void fields(Fields& f) {
    f.field("heads", heads, "number of heads");
    f.field("sizes", sizes, "sizes");
  }
};

struct Outer {
  double lr = 1e-3;
  bool shuffle = true;
  std::string name = "x";
  Inner model;
  Config rest;
  void fields(Fields& f) {
    f.field("lr", lr, "learning rate");
    f.field("shuffle", shuffle, "shuffle");
    f.field("name", name, "a name");
    f.field("model", model, "inner");
    f.field("rest", rest, "read later");
  }
};

std::string error_of(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  try {
    Config config = Config::parse(yaml, "recipe.yaml");
    config.override_with(overrides);
    Outer outer;
    config.read(outer);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

}  // namespace config_test

TEST(Config, KeysThatAreThereReplaceDefaultsAndOthersKeepThem) {
  const Config config = Config::parse("lr: 5e-4\nmodel: {heads: 8}\nrest: {a: [1, 2]}\n", "recipe.yaml");
  config_test::Outer outer;
  config.read(outer);
  EXPECT_DOUBLE_EQ(outer.lr, 5e-4);
  EXPECT_EQ(outer.model.heads, 8);
  EXPECT_EQ(outer.model.sizes, (std::vector<int64_t>{1, 2}));
  EXPECT_TRUE(outer.shuffle);
  EXPECT_EQ(outer.rest.to_json().dump(), "{\"a\":[1,2]}");
}

TEST(Config, AnUnknownKeyIsNamedWithLineAndNearestKnownKey) {
  const std::string message = config_test::error_of("lr: 1\nmodel:\n  haeds: 3\n");
  EXPECT_NE(message.find("recipe.yaml:3"), std::string::npos) << message;
  EXPECT_NE(message.find("'model.haeds'"), std::string::npos) << message;
  EXPECT_NE(message.find("did you mean 'heads'"), std::string::npos) << message;
}

TEST(Config, AValueOfTheWrongTypeIsNamedWithLine) {
  EXPECT_NE(config_test::error_of("name: a\nlr: fast\n").find("recipe.yaml:2: 'lr' must be a number, not 'fast'"), std::string::npos);
  EXPECT_NE(config_test::error_of("model: 3\n").find("'model' is a section"), std::string::npos);
  EXPECT_NE(config_test::error_of("model: {heads: 3.5}\n").find("whole number"), std::string::npos);
}

TEST(Config, AKeyThatStandsTwiceIsAnError) {
  EXPECT_NE(config_test::error_of("lr: 1\nlr: 2\n").find("stands twice"), std::string::npos);
}

TEST(Config, MalformedYamlIsNamedWithLine) { EXPECT_NE(config_test::error_of("lr: [1\nname: x").find("recipe.yaml:"), std::string::npos); }

TEST(Config, DottedOverridesReachIntoSectionsAndAreCheckedLikeTheFile) {
  Config config = Config::parse("model: {heads: 8}\n", "recipe.yaml");
  config.override_with({"model.sizes=[3]", "name=new", "lr=2"});
  config_test::Outer outer;
  config.read(outer);
  EXPECT_EQ(outer.model.heads, 8);
  EXPECT_EQ(outer.model.sizes, (std::vector<int64_t>{3}));
  EXPECT_EQ(outer.name, "new");
  EXPECT_NE(config_test::error_of("{}", {"modle.heads=2"}).find("did you mean 'model'"), std::string::npos);
  EXPECT_NE(config_test::error_of("{}", {"lr"}).find("not an override"), std::string::npos);
  EXPECT_NE(config_test::error_of("lr: 1", {"lr.x=1"}).find("not a section"), std::string::npos);
}

TEST(Config, WhatIsWrittenReadsBackTheSame) {
  config_test::Outer outer;
  outer.lr = 0.25;
  outer.model.sizes = {7, 8, 9};
  config_test::Outer again;
  Config::parse(to_json(outer).dump(), "written").read(again);
  EXPECT_EQ(to_json(outer), to_json(again));
}

TEST(Config, AliasesThatMultiplyThemselvesAreRefusedBeforeTheyFillTheMemory) {
  std::string yaml = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 20; ++i) {
    const std::string before = "*a" + std::to_string(i - 1), name = "a" + std::to_string(i);
    yaml += name + ": &" + name + " [" + before + "," + before + "," + before + "," + before + "]\n";
  }
  EXPECT_NE(config_test::error_of(yaml).find("aliases"), std::string::npos);
  EXPECT_NE(config_test::error_of("a: &a [*a, *a]\n"), "");
  EXPECT_EQ(Config::parse("a: &x {b: 1}\nc: *x\nd: *x\n", "r").to_json().dump(), R"({"a":{"b":1},"c":{"b":1},"d":{"b":1}})");
}

TEST(Config, AnOverrideDoesNotNestDeeperThanAFile) {
  std::string key = "rest";
  for (int i = 0; i < 50'000; ++i) key += ".a";
  EXPECT_NE(config_test::error_of("", {key + "=1"}).find("parts"), std::string::npos);
}

}  // namespace vlm
