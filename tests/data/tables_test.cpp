#include <gtest/gtest.h>

#include "data/read_rows.h"
#include "vlm/data/base64.h"
#include "vlm/data/csv.h"
#include "vlm/data/line_index.h"
#include "vlm/data/ofa_tsv.h"
#include "vlm/io/atomic_file.h"

namespace vlm::test {

namespace tables_test {

std::string picture() { return encode_base64(bmp(3, 2, 250, 251, 252)); }

Rows tsv(const std::string& content, const std::string& columns, const std::string& roles, bool references = false) {
  const TemporaryFolder folder;
  SourceOptions options = file_with(folder, "x.tsv", content);
  options.selected_cols = columns;
  options.tsv_roles = roles;
  options.tsv_references = references;
  return read_rows(options, true);
}

Rows csv(const std::string& content, SourceOptions options = {}) {
  const TemporaryFolder folder;
  options.path = file_with(folder, "x.csv", content).path;
  return read_rows(options);
}

}  // namespace tables_test

TEST(Base64, TakesBothAlphabetsWithAndWithoutPadding) {
  EXPECT_EQ(decode_base64("-_-_"), decode_base64("+/+/"));
  EXPECT_EQ(decode_base64("-/+_"), decode_base64("+/+/"));
  EXPECT_EQ(decode_base64("YQ"), "a");
  EXPECT_EQ(decode_base64("YQ=="), "a");
  EXPECT_EQ(decode_base64(""), "");
  for (const char* wrong : {"Y", "Y Q=", "YQ\n", "Y=Q=", "YQ*=", "\xff\xff"}) EXPECT_FALSE(decode_base64(wrong)) << wrong;
  std::string bytes;
  for (int i = 0; i < 256; ++i) {
    EXPECT_EQ(decode_base64(encode_base64(bytes)), bytes);
    bytes += static_cast<char>(i);
  }
}

TEST(OfaTsv, GivesTheFirstReasonInOrder) {
  using tables_test::picture;
  using tables_test::tsv;
  const auto reason = [](const std::string& row) {
    const Rows rows = tsv(row, "0,1,2,3", "id,image,text,box");
    return rows.skipped.empty() ? "" : rows.skipped.at(0);
  };
  EXPECT_EQ(reason("i\t" + picture() + "\tt\t0,0,1,1\n"), "");
  EXPECT_EQ(reason("i\t!\t \xff"), "bad_row=1");
  EXPECT_EQ(reason("i\t!\t\xff\tx"), "bad_text=1");
  EXPECT_EQ(reason("i\t!\t \xc2\xa0\tx"), "no_caption=1");
  for (const char* box : {"x", "0,0,1", "0,0,1,1,1", "0,0,nan,1", "0,0,inf,1", "1,0,1,1", "0,2,1,1", "0,0,1,", "0,0,1,1x"})
    EXPECT_EQ(reason("i\t!\tt\t" + std::string(box)), "bad_box=1") << box;
  EXPECT_EQ(reason("i\t!\tt\t 0, 0,1e1,+1 "), "bad_image=1");
  EXPECT_EQ(reason("i\t\tt\t0,0,1,1"), "bad_image=1");
}

TEST(OfaTsv, CountsAnEmptyLineInTheMiddleButNotTheEnd) {
  const std::string row = "i\t" + tables_test::picture() + "\t t \r\n";
  const Rows rows =
      tables_test::tsv(row + "\n" + row + "i2\t" + tables_test::picture() + "\tlast", "0,1,2", "id,image,text");
  ASSERT_EQ(rows.samples.size(), 3u);
  EXPECT_EQ(rows.samples[0].captions, Texts{"t"});
  EXPECT_EQ(rows.samples[2].key, "i2");
  EXPECT_EQ(rows.samples[2].images[0].bytes, bmp(3, 2, 250, 251, 252));
  EXPECT_EQ(rows.skipped, Texts{"bad_row=1"});
  EXPECT_NE(rows.places[0].find("x.tsv: line 2"), std::string::npos);
}

TEST(OfaTsv, KnowsTheColumnsOfEachTask) {
  const TemporaryFolder folder;
  const std::string image = tables_test::picture();
  SourceOptions options =
      file_with(folder, "vqa.tsv",
                "7\timg\twhat?\t0.3|!+a&&1.0|!+b\tobj1&&obj2\t" + image + "\n8\timg\twhat?\tno weight\to\t" + image);
  options.tsv_task = "vqa_gen";
  Rows rows = read_rows(options, true);
  ASSERT_EQ(rows.samples.size(), 1u);
  EXPECT_EQ(rows.samples[0].question, "what?");
  EXPECT_EQ(rows.samples[0].answers, (Texts{"a", "b"}));
  EXPECT_EQ(rows.samples[0].meta.at("objects"), "obj1&&obj2");
  EXPECT_EQ(rows.skipped, Texts{"bad_row=1"});
  options =
      file_with(folder, "ve.tsv", "7\timg\t" + image + "\thypothesis\tpremise\tneutral\n8\timg\t" + image + "\th\tp\tmaybe");
  options.tsv_task = "snli_ve";
  rows = read_rows(options, true);
  ASSERT_EQ(rows.samples.size(), 1u);
  EXPECT_EQ(rows.samples[0].captions, Texts{"hypothesis"});
  EXPECT_EQ(rows.samples[0].meta.at("premise"), "premise");
  EXPECT_EQ(rows.samples[0].label, 1);
  EXPECT_EQ(rows.skipped, Texts{"bad_label=1"});
  options = file_with(folder, "all.tsv",
                      "1\t" + image + "\t\twho?\t0.9|!+me\to\tvqa\tqa\n2\t" + image + "\tc\t\t\to\tcoco\tcaption\n3\t" +
                          image + "\t\t\t\to\tcoco\tcaption\n4\t" + image + "\tc\t\t\to\tvqa\tqa");
  options.tsv_task = "pretrain";
  rows = read_rows(options, true);
  ASSERT_EQ(rows.samples.size(), 2u);
  EXPECT_EQ(rows.samples[0].answers, Texts{"me"});
  EXPECT_EQ(rows.samples[1].captions, Texts{"c"});
  EXPECT_EQ(rows.skipped, Texts{"no_caption=2"});
  EXPECT_THROW(tsv_columns("captions"), Error);
  EXPECT_THROW(tsv_columns("caption", "0,1"), Error);
  EXPECT_THROW(tsv_columns("caption", "0,1,-2"), Error);
  EXPECT_THROW(tsv_columns("caption", "0,1,2", "id,image,txt"), Error);
}

TEST(OfaTsv, CutsReferencesOfEvaluationFiles) {
  const Rows rows = tables_test::tsv("9\t" + tables_test::picture() + "\tA dog, running.&& two&&...&&It's\n", "0,1,2",
                                     "id,image,text", true);
  ASSERT_EQ(rows.samples.size(), 1u);
  EXPECT_EQ(rows.samples[0].captions, (Texts{"A dog running", "two", "Its"}));
}

TEST(OfaAnswers, KeepTheFirstPlaceAndTheLastWeight) {
  const auto answers = parse_ofa_answers("0.3|!+a&&0.9|!+b&&0.9|!+c&&1.0|!+a");
  EXPECT_EQ(answers.answers, (Texts{"a", "b", "c"}));
  EXPECT_EQ(answers.weights, (std::vector<double>{1, 0.9, 0.9}));
  EXPECT_EQ(answers.best(), 0u);
  EXPECT_EQ(parse_ofa_answers("0.3|!+a&&0.9|!+b&&0.9|!+c").best(), 1u);
  for (const char* wrong : {"", "a", "x|!+a", "|!+a", "0.3|!+a&&", "nan|!+a"})
    EXPECT_THROW(parse_ofa_answers(wrong), Error) << wrong;
}

TEST(OfaSlices, HoldEveryRowOnce) {
  for (const int64_t rows : {0, 1, 7, 12}) {
    int64_t next = 0;
    for (int64_t rank = 0; rank < 5; ++rank) {
      const TsvSlice slice = ofa_slice(rows, 5, rank);
      EXPECT_EQ(slice.start, next);
      next += slice.count;
      if (slice.count > 0) {
        EXPECT_EQ(slice.row(slice.count), slice.start);
      }
    }
    EXPECT_EQ(next, rows);
  }
  EXPECT_THROW(ofa_slice(3, 2, 2), Error);
}

TEST(LineFile, KeepsAnIndexAndDropsOneThatDoesNotFit) {
  const TemporaryFolder folder;
  const auto file = folder / "x.tsv", index = folder / "x.tsv.idx";
  write_bytes(file, "one\ntwo\r\n\nfour");
  const auto check = [&] {
    const LineFile lines(file, true);
    ASSERT_EQ(lines.size(), 4);
    EXPECT_EQ(lines.line(1), "two");
    EXPECT_EQ(lines.line(2), "");
    EXPECT_EQ(lines.line(3), "four");
  };
  check();
  const std::string good = read_file(index);
  EXPECT_EQ(good.size(), 8u * 5);
  EXPECT_EQ(good[0], 4);
  EXPECT_EQ(good[16], 4);
  check();
  for (std::string bad : {good.substr(0, 32), std::string(40, '\xff'), std::string(), good.substr(0, 39) + "\x7f"}) {
    write_bytes(index, bad);
    check();
  }
  // Right by its own rules, but of another file.
  std::string other = good;
  other[24] = 8;
  write_bytes(index, other);
  check();
  EXPECT_EQ(read_file(index), good);
}

TEST(Csv, FollowsRfc4180) {
  SourceOptions options;
  options.csv_separator = ",";
  options.csv_caption_key = "text";
  const Rows rows = tables_test::csv(
      "\xef\xbb\xbf\"text\",\"filepath\",z\r\n\"a \"\"b\"\", c\r\nd\",x.jpg\r\n\r\nq\"\"u,y.jpg,1,2,3\n\"cl\"osed,z.jpg\n",
      options);
  ASSERT_EQ(rows.samples.size(), 3u);
  EXPECT_EQ(rows.samples[0].captions, Texts{"a \"b\", c\r\nd"});
  EXPECT_EQ(rows.samples[1].captions, Texts{"q\"\"u"});
  EXPECT_EQ(rows.samples[2].captions, Texts{"closed"});
  EXPECT_EQ(rows.samples[2].images[0].name, "z.jpg");
  EXPECT_TRUE(rows.skipped.empty());
}

TEST(Csv, CountsBadRowsWithTheirLines) {
  const Rows rows =
      tables_test::csv("title\tfilepath\n\"two\nlines\"\ta.jpg\nonly\n \tb.jpg\nc\t \nd\xff\td.jpg\n\"open\te.jpg\n");
  EXPECT_EQ(rows.samples.size(), 1u);
  EXPECT_EQ(rows.skipped, (Texts{"bad_row=3", "bad_text=1", "no_caption=1"}));
  EXPECT_NE(rows.places[0].find("line 4"), std::string::npos) << rows.places[0];
}

TEST(Csv, NamesTheColumnsThereAreIfOneIsMissing) {
  const TemporaryFolder folder;
  EXPECT_NE(refusal(file_with(folder, "x.csv", "filepaht\ttitle\n")).find("did you mean 'filepaht'"), std::string::npos);
  EXPECT_NE(refusal(file_with(folder, "y.csv", "")).find("empty"), std::string::npos);
  SourceOptions options = file_with(folder, "z.csv", "filepath\ttitle\n");
  EXPECT_EQ(refusal(options), "");
  options.csv_separator = "ab";
  EXPECT_NE(refusal(options), "");
}

TEST(ImageTextFolder, SharesATextBetweenPicturesOfOneName) {
  const TemporaryFolder folder;
  for (const char* name : {"d/a.png", "d/a.JPG", "b.webp", "c.png", "e.png"}) write_bytes(folder / name, "x");
  write_bytes(folder / "d/a.txt", " one\r\n\n two ");
  write_bytes(folder / "c.txt", " \n");
  write_bytes(folder / "e.txt", "\xff");
  write_bytes(folder / "f.TXT", "not looked at");
  write_bytes(folder / "g.txt", "alone");
  SourceOptions options;
  options.path = folder.path().string() + "/";
  const Rows rows = read_rows(options);
  ASSERT_EQ(rows.samples.size(), 2u);
  EXPECT_EQ(rows.samples[0].key, "d/a.JPG");
  EXPECT_EQ(rows.samples[1].key, "d/a.png");
  EXPECT_EQ(rows.samples[1].captions, (Texts{"one", "two"}));
  EXPECT_EQ(rows.skipped, (Texts{"bad_text=1", "no_caption=2", "no_image=1"}));
}

TEST(SourceTypes, AreToldByNamesAndContents) {
  const TemporaryFolder folder;
  EXPECT_NE(refusal(file_with(folder, "x.parquet", "PAR1")).find("img2dataset"), std::string::npos);
  EXPECT_NE(refusal(file_with(folder, "x.json", "[{\"foo\": 1}]")).find("foo"), std::string::npos);
  EXPECT_NE(refusal(file_with(folder, "x.json", R"({"annotations": [{"bbox": []}]})")).find("instances"), std::string::npos);
  SourceOptions options = file_with(folder, "x.tsv", "filepath\ttitle\nx.jpg\tcaption\n");
  EXPECT_EQ(read_rows(options).samples.size(), 1u);
  options.path = (folder / "none.json").string();
  EXPECT_NE(refusal(options).find("there is no"), std::string::npos);
  options = file_with(folder, "x.tsv", "filepath\ttitle\nx.jpg\tcaption\n");
  options.split = "train";
  EXPECT_NE(refusal(options).find("split"), std::string::npos);
  options.split = "";
  options.type = "coco_caption";
  EXPECT_NE(refusal(options).find("coco_captions"), std::string::npos);
  // Lines of JSON in a file that does not say so.
  options =
      file_with(folder, "ve.json", "{\"gold_label\": \"neutral\", \"sentence2\": \"h\", \"Flickr30K_ID\": 1}\n{\"broken\n");
  EXPECT_EQ(read_rows(options).samples.size(), 1u);
}

}  // namespace vlm::test
