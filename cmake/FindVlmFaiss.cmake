# faiss (a static library in Debian) as the target vlm_faiss.
#
# Its OpenMP is the one that LibTorch brings: a second one would have threads of its own, and both would want all cores. Its
# BLAS is LibTorch's where that has the function (vlm_torch is linked first, see VlmRooms.cmake), and Debian's for the rest.
find_path(VLM_FAISS_INCLUDE faiss/IndexIVFFlat.h HINTS ${faiss_ROOT} $ENV{faiss_ROOT} PATH_SUFFIXES include)
find_library(VLM_FAISS_LIB faiss HINTS ${faiss_ROOT} $ENV{faiss_ROOT} PATH_SUFFIXES lib)
find_library(VLM_LAPACK_LIB lapack)
find_library(VLM_BLAS_LIB blas)
get_filename_component(_vlm_torch_lib ${VLM_TORCH_CPU} DIRECTORY)
file(GLOB _vlm_gomp ${_vlm_torch_lib}/libgomp*.so*)
if(NOT _vlm_gomp)
  find_library(VLM_GOMP_LIB NAMES gomp libgomp.so.1)
  set(_vlm_gomp ${VLM_GOMP_LIB})
endif()
list(GET _vlm_gomp 0 VLM_FAISS_OPENMP)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(VlmFaiss
  REQUIRED_VARS VLM_FAISS_LIB VLM_FAISS_INCLUDE VLM_LAPACK_LIB VLM_BLAS_LIB VLM_FAISS_OPENMP
  REASON_FAILURE_MESSAGE "install libfaiss-dev (./dev setup does), or give -Dfaiss_ROOT=DIR")
if(VlmFaiss_FOUND AND NOT TARGET vlm_faiss)
  add_library(vlm_faiss INTERFACE IMPORTED GLOBAL)
  target_include_directories(vlm_faiss SYSTEM INTERFACE ${VLM_FAISS_INCLUDE})
  # Hidden, so that a program with a faiss of its own keeps that one.
  target_link_options(vlm_faiss INTERFACE "LINKER:--exclude-libs,libfaiss.a")
  target_link_libraries(vlm_faiss INTERFACE ${VLM_FAISS_LIB} ${VLM_FAISS_OPENMP}
    "-Wl,--push-state,--as-needed" ${VLM_LAPACK_LIB} ${VLM_BLAS_LIB} "-Wl,--pop-state")
endif()
