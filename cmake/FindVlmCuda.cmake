# CUDA's and NCCL's headers and the CUDA runtime as the target vlm_cuda, for VLM_CUDA=ON. No nvcc is needed: there are no
# kernels here. The ones that LibTorch's wheels brought (./dev setup --cuda) come first, since their version is the right one.
get_filename_component(_vlm_torch_lib ${VLM_TORCH_CPU} DIRECTORY)
file(GLOB _vlm_cuda_wheels ${_vlm_torch_lib}/../../nvidia/cu*)
set(_vlm_cuda_hints ${_vlm_cuda_wheels} ${CUDAToolkit_ROOT} $ENV{CUDAToolkit_ROOT} $ENV{CUDA_HOME} $ENV{CUDA_PATH})
find_path(VLM_CUDA_INCLUDE cuda_runtime_api.h HINTS ${_vlm_cuda_hints} PATHS /usr/local/cuda PATH_SUFFIXES include)
find_path(VLM_NCCL_INCLUDE nccl.h HINTS ${_vlm_torch_lib}/../../nvidia/nccl ${NCCL_ROOT} $ENV{NCCL_ROOT} ${_vlm_cuda_hints}
  PATHS /usr/local/cuda PATH_SUFFIXES include)
# A wheel has no libcudart.so, only the name with the version.
find_library(VLM_CUDART NAMES libcudart.so.13 libcudart.so.12 cudart HINTS ${_vlm_cuda_hints} PATHS /usr/local/cuda PATH_SUFFIXES lib lib64)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(VlmCuda REQUIRED_VARS VLM_CUDA_INCLUDE VLM_NCCL_INCLUDE VLM_CUDART
  REASON_FAILURE_MESSAGE "run ./dev setup --cuda, or give -DCUDAToolkit_ROOT=DIR and -DNCCL_ROOT=DIR")
if(VlmCuda_FOUND AND NOT TARGET vlm_cuda)
  add_library(vlm_cuda INTERFACE IMPORTED GLOBAL)
  target_include_directories(vlm_cuda SYSTEM INTERFACE ${VLM_CUDA_INCLUDE} ${VLM_NCCL_INCLUDE})
  target_link_libraries(vlm_cuda INTERFACE ${VLM_CUDART})
endif()
