# SentencePiece (library and trainer) as the target vlm_sentencepiece.
find_path(VLM_SENTENCEPIECE_INCLUDE sentencepiece_processor.h HINTS ${SentencePiece_ROOT} $ENV{SentencePiece_ROOT} PATH_SUFFIXES include)
find_library(VLM_SENTENCEPIECE_LIB sentencepiece HINTS ${SentencePiece_ROOT} $ENV{SentencePiece_ROOT} PATH_SUFFIXES lib)
find_library(VLM_SENTENCEPIECE_TRAIN sentencepiece_train HINTS ${SentencePiece_ROOT} $ENV{SentencePiece_ROOT} PATH_SUFFIXES lib)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(VlmSentencePiece
  REQUIRED_VARS VLM_SENTENCEPIECE_LIB VLM_SENTENCEPIECE_TRAIN VLM_SENTENCEPIECE_INCLUDE
  REASON_FAILURE_MESSAGE "install libsentencepiece-dev (./dev setup does), or give -DSentencePiece_ROOT=DIR")
if(VlmSentencePiece_FOUND AND NOT TARGET vlm_sentencepiece)
  add_library(vlm_sentencepiece INTERFACE IMPORTED GLOBAL)
  target_include_directories(vlm_sentencepiece SYSTEM INTERFACE ${VLM_SENTENCEPIECE_INCLUDE})
  target_link_libraries(vlm_sentencepiece INTERFACE ${VLM_SENTENCEPIECE_TRAIN} ${VLM_SENTENCEPIECE_LIB})
endif()
