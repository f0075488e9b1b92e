// Declares the vector intrinsics that the kernels use as the compiler of Milk-V's SDK (T-Head GCC 10.2, RVV 0.7.1)
// knows them, so that names, numbers of arguments and types can be checked without that compiler. Written from the RVV
// intrinsics' documentation of that time: names without a prefix, the vector length last; the differences that T-Head's
// compiler has (a leading destination in reductions, masked forms with maskedoff, no rounding mode argument) concern
// intrinsics that the kernels avoid. There is nothing to link with.
#pragma once

#include <cstddef>
#include <cstdint>

#define STUB_SIZES(X) X(m1) X(m2) X(m4) X(m8)

#define STUB_INT8(m)                                                            \
    struct vint8##m##_t {                                                       \
        long opaque;                                                            \
    };                                                                          \
    std::size_t vsetvlmax_e8##m();                                              \
    vint8##m##_t vle8_v_i8##m(const std::int8_t* base, std::size_t vl);         \
    void vse8_v_i8##m(std::int8_t* base, vint8##m##_t value, std::size_t vl);   \
    vint8##m##_t vmax_vv_i8##m(vint8##m##_t a, vint8##m##_t b, std::size_t vl); \
    vint8##m##_t vrsub_vx_i8##m(vint8##m##_t a, std::int8_t b, std::size_t vl);

#define STUB_UINT32(m)                                                                 \
    struct vuint32##m##_t {                                                            \
        long opaque;                                                                   \
    };                                                                                 \
    vuint32##m##_t vle32_v_u32##m(const std::uint32_t* base, std::size_t vl);          \
    void vse32_v_u32##m(std::uint32_t* base, vuint32##m##_t value, std::size_t vl);    \
    vuint32##m##_t vadd_vv_u32##m(vuint32##m##_t a, vuint32##m##_t b, std::size_t vl); \
    vuint32##m##_t vand_vx_u32##m(vuint32##m##_t a, std::uint32_t b, std::size_t vl);  \
    vuint32##m##_t vsrl_vx_u32##m(vuint32##m##_t a, std::size_t shift, std::size_t vl);

#define STUB_FLOAT32(m)                                                                    \
    struct vfloat32##m##_t {                                                               \
        long opaque;                                                                       \
    };                                                                                     \
    std::size_t vsetvlmax_e32##m();                                                        \
    vfloat32##m##_t vle32_v_f32##m(const float* base, std::size_t vl);                     \
    void vse32_v_f32##m(float* base, vfloat32##m##_t value, std::size_t vl);               \
    vfloat32##m##_t vfmv_v_f_f32##m(float value, std::size_t vl);                          \
    vfloat32##m##_t vfadd_vv_f32##m(vfloat32##m##_t a, vfloat32##m##_t b, std::size_t vl); \
    vfloat32##m##_t vfadd_vf_f32##m(vfloat32##m##_t a, float b, std::size_t vl);           \
    vfloat32##m##_t vfsub_vf_f32##m(vfloat32##m##_t a, float b, std::size_t vl);           \
    vfloat32##m##_t vfmul_vv_f32##m(vfloat32##m##_t a, vfloat32##m##_t b, std::size_t vl); \
    vfloat32##m##_t vfmul_vf_f32##m(vfloat32##m##_t a, float b, std::size_t vl);           \
    vfloat32##m##_t vfdiv_vf_f32##m(vfloat32##m##_t a, float b, std::size_t vl);           \
    vfloat32##m##_t vfrdiv_vf_f32##m(vfloat32##m##_t a, float b, std::size_t vl);          \
    vfloat32##m##_t vfmax_vv_f32##m(vfloat32##m##_t a, vfloat32##m##_t b, std::size_t vl);

STUB_SIZES(STUB_INT8)
STUB_SIZES(STUB_UINT32)
STUB_SIZES(STUB_FLOAT32)
