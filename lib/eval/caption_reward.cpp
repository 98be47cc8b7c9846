#include "vlm/eval/caption_reward.h"

#include "vlm/core/error.h"
#include "vlm/text/text_cleaning.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace caption_reward {

std::vector<std::string> sentences(const std::vector<std::string>& captions) {
  std::vector<std::string> out;
  for (const auto& caption : captions) out.push_back(reward_sentence(caption));
  return out;
}

}  // namespace caption_reward

std::string reward_sentence(std::string_view caption) {
  std::string plain;
  for (const char c : caption) {
    if (!is_ascii_punctuation(c)) plain += c;
  }
  return std::string(strip(plain)) + " " + reward_end;
}

DocumentFrequency count_reward_frequency(const std::vector<std::vector<std::string>>& references, int64_t n) {
  std::vector<std::vector<std::string>> sentences;
  for (const auto& of_picture : references) sentences.push_back(caption_reward::sentences(of_picture));
  return count_document_frequency(sentences, n);
}

std::vector<double> caption_rewards(const std::vector<std::string>& captions, const std::vector<std::vector<std::string>>& references,
                                    const std::vector<int64_t>& picture, const DocumentFrequency* frequency, const CiderOptions& options) {
  if (picture.size() != captions.size()) fail(captions.size(), " captions, but pictures of ", picture.size());
  if (captions.empty()) return {};
  std::vector<std::vector<std::string>> sentences;
  for (const auto& of_picture : references) sentences.push_back(caption_reward::sentences(of_picture));
  std::vector<CaptionItem> items;
  for (size_t i = 0; i < captions.size(); ++i) {
    if (picture[i] < 0 || picture[i] >= static_cast<int64_t>(references.size())) {
      fail("caption ", i, " is of picture ", picture[i], ", but there are references of ", references.size(), " pictures");
    }
    items.push_back({std::to_string(i), reward_sentence(captions[i]), sentences[static_cast<size_t>(picture[i])]});
  }
  return cider(items, options, frequency).per_item;
}

}  // namespace vlm
