# The device "cuda": kernels become images that the library carries, so it links against nothing of NVIDIA's.
# EG_CUDA=AUTO builds it where nvcc is found, ON insists, OFF leaves it out.
set(EG_CUDA AUTO CACHE STRING "build the device cuda: AUTO, ON, OFF")
set(EG_CUDA_TARGETS "compute_75" CACHE STRING "what kernels are compiled for: compute_75 (PTX) and sm_NN; a release has compute_75;sm_75;sm_80;sm_90;sm_100;sm_120")
if(EG_CUDA STREQUAL "OFF")
  return()
endif()
find_program(EG_NVCC nvcc HINTS ${PROJECT_SOURCE_DIR}/build/cuda/bin ENV CUDA_HOME PATHS /usr/local/cuda/bin)
mark_as_advanced(EG_NVCC)
if(EG_NVCC)
  execute_process(COMMAND ${EG_NVCC} --version OUTPUT_VARIABLE version)
endif()
if(NOT version MATCHES "release 13") # the runtime that driver.c looks up, and its structs, are CUDA 13's
  if(EG_CUDA STREQUAL "ON")
    message(FATAL_ERROR "EG_CUDA=ON: no nvcc of CUDA 13 was found; tools/setup --cuda brings one")
  endif()
  message(STATUS "cuda: no nvcc of CUDA 13 was found, the device is left out (tools/setup --cuda brings one)")
  return()
endif()
# Where its headers are it says itself: the nvcc of PATH may be a script that calls another.
execute_process(COMMAND ${EG_NVCC} --dryrun -E -x cu /dev/null ERROR_VARIABLE dryrun)
string(REGEX REPLACE ".*_HERE_=([^\n]*).*" "\\1/.." EG_CUDA_ROOT "${dryrun}")
get_filename_component(EG_CUDA_ROOT ${EG_CUDA_ROOT} REALPATH)
enable_language(ASM)

# Machine code is made of the PTX of compute_75, whatever it is for: that is what the simulator runs.
set(EG_CUDA_RELEASE_TARGETS sm_75 sm_80 sm_90 sm_100 sm_120)
function(eg_cuda_gencode out)
  set(flags)
  foreach(target ${ARGN})
    list(APPEND flags -gencode arch=compute_75,code=${target})
  endforeach()
  set(${out} ${flags} PARENT_SCOPE)
endfunction()
eg_cuda_gencode(EG_NVCC_TARGETS ${EG_CUDA_TARGETS})
set(EG_NVCC_FLAGS -fatbin -std=c++17 -O3 -lineinfo -Werror all-warnings -I${PROJECT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/include)

# One image a family of cuda/families.def, and one assembler file that puts them all into the library.
file(STRINGS ${PROJECT_SOURCE_DIR}/cuda/families.def lines REGEX "^EG_FAMILY")
list(TRANSFORM lines REPLACE "EG_FAMILY\\((.*)\\)" "\\1" OUTPUT_VARIABLE EG_CUDA_FAMILIES)
set(assembly ".section .rodata\n")
set(EG_CUDA_IMAGES)
foreach(family ${EG_CUDA_FAMILIES})
  set(image ${PROJECT_BINARY_DIR}/cuda/${family}.fatbin)
  add_custom_command(OUTPUT ${image} DEPFILE ${image}.d DEPENDS ${PROJECT_SOURCE_DIR}/cuda/${family}.cu
    COMMAND ${EG_NVCC} ${EG_NVCC_FLAGS} ${EG_NVCC_TARGETS}
            -MD -MF ${image}.d -MT ${image} ${PROJECT_SOURCE_DIR}/cuda/${family}.cu -o ${image}
    COMMENT "Compiling kernels: ${family}" VERBATIM)
  list(APPEND EG_CUDA_IMAGES ${image})
  string(APPEND assembly ".balign 64\n.globl egi_cuda_image_${family}\n.hidden egi_cuda_image_${family}\negi_cuda_image_${family}:\n.incbin \"${image}\"\n")
endforeach()
string(APPEND assembly ".section .note.GNU-stack,\"\",%progbits\n")
file(WRITE ${PROJECT_BINARY_DIR}/cuda/images.S.new "${assembly}")
configure_file(${PROJECT_BINARY_DIR}/cuda/images.S.new ${PROJECT_BINARY_DIR}/cuda/images.S COPYONLY)
set_source_files_properties(${PROJECT_BINARY_DIR}/cuda/images.S PROPERTIES OBJECT_DEPENDS "${EG_CUDA_IMAGES}")

file(GLOB EG_CUDA_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/*.c)
target_sources(engram PRIVATE ${EG_CUDA_SOURCES} ${PROJECT_BINARY_DIR}/cuda/images.S)
target_include_directories(engram SYSTEM PRIVATE ${EG_CUDA_ROOT}/include)
target_compile_definitions(engram PRIVATE EG_WITH_CUDA)
target_link_libraries(engram PRIVATE ${CMAKE_DL_LIBS})
set(EG_WITH_CUDA TRUE)
