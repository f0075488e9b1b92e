// Owns memory that mmap(2) gave.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <utility>

namespace storybake {

/// Owns the pages [data(), data() + size()), or none.
class Mapping {
public:
    Mapping() = default;
    Mapping(std::byte* data, std::size_t size) : data_(data), size_(size) {}
    Mapping(Mapping&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Mapping& operator=(Mapping&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Mapping() {
        if (data_ != nullptr) {
            ::munmap(data_, size_);
        }
    }

    [[nodiscard]] std::byte* data() const { return data_; }
    [[nodiscard]] std::size_t size() const { return size_; }

private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace storybake
