#include "vlm/infer/picture_stream.h"

#include <gtest/gtest.h>

#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

using Paths = std::vector<std::filesystem::path>;

TEST(PictureStream, FoldersPatternsAndListsStandForVideosAsForPictures) {
  const testing::TemporaryFolder folder;
  for (const char* name : {"all/b.mp4", "all/a/f1.png", "all/a/f2.png", "all/notes.txt"}) write_file_atomically(folder / name, "x");
  const std::string all = (folder / "all").string();
  EXPECT_EQ(expand_pictures({all}), (Paths{folder / "all/a/f1.png", folder / "all/a/f2.png"}));
  EXPECT_EQ(expand_videos({all}), (Paths{folder / "all/a", folder / "all/b.mp4"}));
  EXPECT_EQ(expand_videos({all + "/a", all + "/b.mp4"}), (Paths{folder / "all/a", folder / "all/b.mp4"}));
  EXPECT_EQ(expand_videos({all + "/?"}), (Paths{folder / "all/a"}));
  write_file_atomically(folder / "list.txt", all + "/b.mp4\r\n\n" + all + "/a\n");
  EXPECT_EQ(expand_videos({"@" + (folder / "list.txt").string()}), (Paths{folder / "all/b.mp4", folder / "all/a"}));
  EXPECT_THROW(expand_videos({all + "/none.mp4"}), Error);
  EXPECT_THROW(expand_videos({all + "/*.avi"}), Error);
  std::filesystem::create_directory(folder / "empty");
  EXPECT_THROW(expand_videos({(folder / "empty").string()}), Error);
}

}  // namespace vlm
