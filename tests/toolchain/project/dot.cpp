// A vector program for both dialects: the dot product of two int8 vectors, with int16 products in pairs and
// int32 sums. Prints the bits of a vector register and the product.

#include <riscv_vector.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <span>

namespace {

constexpr int kSize = 512;

// Every operation has vl == VLMAX: with less, GCC 14.2's xtheadvector code writes out of bounds. No call, not
// even of memset, while a vector lives: its spill code reads vlenb, which neither QEMU 5.2 nor the board has.
int32_t dot(std::span<const int8_t, kSize> a, std::span<const int8_t, kSize> b) {
    std::array<int32_t, kSize> lanes{};
    const size_t vl = __riscv_vsetvlmax_e8m1();
    vint32m4_t sum = __riscv_vmv_v_x_i32m4(0, vl);
    for (size_t i = 0; i < kSize; i += 2 * vl) {
        const vint8m1_t a0 = __riscv_vle8_v_i8m1(&a[i], vl);
        const vint8m1_t b0 = __riscv_vle8_v_i8m1(&b[i], vl);
        const vint8m1_t a1 = __riscv_vle8_v_i8m1(&a[i + vl], vl);
        const vint8m1_t b1 = __riscv_vle8_v_i8m1(&b[i + vl], vl);
        const vint16m2_t pair = __riscv_vwmacc_vv_i16m2(__riscv_vwmul_vv_i16m2(a0, b0, vl), a1, b1, vl);
        sum = __riscv_vwadd_wv_i32m4(sum, pair, vl);
    }
    __riscv_vse32_v_i32m4(lanes.data(), sum, vl);
    return std::accumulate(lanes.begin(), lanes.end(), 0);
}

}  // namespace

int main() {
    std::array<int8_t, kSize> a{};
    std::array<int8_t, kSize> b{};
    for (int i = 0; i < kSize; i++) {
        a[i] = static_cast<int8_t>(i * 37 % 255 - 127);
        b[i] = static_cast<int8_t>(i * 91 % 255 - 127);
    }
    std::printf("%d %d\n", static_cast<int>(8 * __riscv_vsetvlmax_e8m1()), static_cast<int>(dot(a, b)));
}
