/** tests/cudasim/runtime_test/device_array.h: an array on the device for tests; a failing call fails the test. */
#ifndef CUDASIM_DEVICE_ARRAY_H
#define CUDASIM_DEVICE_ARRAY_H

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <vector>

template <class T> class DeviceArray
{
  public:
    explicit DeviceArray(size_t count) : count_(count)
    {
        EXPECT_EQ(cudaMalloc((void **)&at_, count * sizeof(T)), cudaSuccess);
    }
    explicit DeviceArray(const std::vector<T> &values) : DeviceArray(values.size())
    {
        EXPECT_EQ(cudaMemcpy(at_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
    }
    ~DeviceArray()
    {
        EXPECT_EQ(cudaFree(at_), cudaSuccess);
    }
    DeviceArray(const DeviceArray &) = delete;
    T *at() const
    {
        return at_;
    }
    std::vector<T> get() const
    {
        std::vector<T> values(count_);
        EXPECT_EQ(cudaMemcpy(values.data(), at_, count_ * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
        return values;
    }

  private:
    T *at_ = nullptr;
    size_t count_;
};

#endif
