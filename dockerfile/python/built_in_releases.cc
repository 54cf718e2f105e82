#include "dockerfile/python/built_in_releases.h"

namespace starling::dockerfile::python {

/// The newest of each series, from download-metadata.json of uv (3.10 to 3.14) and versions.bzl of
/// rules_python (3.9).
std::string_view BuiltInSums() {
  return R"(
8a0798baa8a2c27b5751d590aced543eaa85e20b3f73d93c1af049688acdc9c5  cpython-3.14.7+20260901-aarch64-unknown-linux-gnu-install_only_stripped.tar.gz
701c31d72187242302922a29f3bc6023ceb68b6b68fb8d4ed7568d1e6ef34548  cpython-3.14.7+20260901-aarch64-unknown-linux-musl-install_only_stripped.tar.gz
3959f92825141e04adf44982d3a83ee57af0877e893b0796e04c1468749d9b04  cpython-3.14.7+20260901-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz
c773f8a7357c0d1a29e208a14bc16386731ca9c0d2e51f1b6741967fb0632cdc  cpython-3.14.7+20260901-x86_64-unknown-linux-musl-install_only_stripped.tar.gz
2b9b5eb5c223acbaac3db1b74c9fd841fad84b6c258a8be495bd248c17a497e0  cpython-3.14.7+20260901-x86_64_v2-unknown-linux-gnu-install_only_stripped.tar.gz
c1783fbefc0e160c74976a84d1fe5e2ed52d8326084823bcbf154f10f1257c3f  cpython-3.14.7+20260901-x86_64_v2-unknown-linux-musl-install_only_stripped.tar.gz
4a045521f8fc331a9ce7a467e7089a49b13b6d1e029c591bcb9950fe7d782592  cpython-3.14.7+20260901-x86_64_v3-unknown-linux-gnu-install_only_stripped.tar.gz
ee0bc64b07e8dc42b517bbef2486289b740b06d61ebb43700f0857e1612d8964  cpython-3.14.7+20260901-x86_64_v3-unknown-linux-musl-install_only_stripped.tar.gz
c1599b4ad3dc45900a2390e66df4739149d3bebe3ce1b268b3ca391a3a400caf  cpython-3.14.7+20260901-aarch64-unknown-linux-gnu-freethreaded-install_only_stripped.tar.gz
3483556ddfdc297b6ad4a267b835843d0e08e1f80cd9271869fa54e24d91eed1  cpython-3.14.7+20260901-aarch64-unknown-linux-musl-freethreaded-install_only_stripped.tar.gz
0b3b601668f43582f6cdb1c49664a328ea4c48619fe0fd246416b56420965b92  cpython-3.14.7+20260901-x86_64-unknown-linux-gnu-freethreaded-install_only_stripped.tar.gz
8d1edcbc3640281b3dfe9630052003541dd36751a5c14ed0bae36876b4a2386d  cpython-3.14.7+20260901-x86_64-unknown-linux-musl-freethreaded-install_only_stripped.tar.gz
52f4b3becbc3e3f954cecd63c972c8472d5171025887185bc1c09d85217668db  cpython-3.14.7+20260901-x86_64_v2-unknown-linux-gnu-freethreaded-install_only_stripped.tar.gz
81ef4dd086cb54893d33d55d8e114ac306922412da6ea68976b4993b519ddf8b  cpython-3.14.7+20260901-x86_64_v2-unknown-linux-musl-freethreaded-install_only_stripped.tar.gz
43f4b9011899deb0fdfc83b19b55eef408d3ca287227e5f103e26c85b4b8fb17  cpython-3.14.7+20260901-x86_64_v3-unknown-linux-gnu-freethreaded-install_only_stripped.tar.gz
6b976c377410c77fb1922459cdb4496314407814851fff327252c469b0b5ea3a  cpython-3.14.7+20260901-x86_64_v3-unknown-linux-musl-freethreaded-install_only_stripped.tar.gz
f1cda716f5595a97e79f760f81da7150e4f6b4ae9dc49968b4ce5d6d64bba058  cpython-3.13.14+20260805-aarch64-unknown-linux-gnu-install_only_stripped.tar.gz
960738ebde53abeceb5452b71c2217d50452023e3baf2439dc57290d07930637  cpython-3.13.14+20260805-aarch64-unknown-linux-musl-install_only_stripped.tar.gz
39e82d05926bdcd206732026bcd878d9f00e288cd227d91c1fabf379b6ea4fa5  cpython-3.13.14+20260805-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz
c6b77767b2c97ce77c21496909396b6e056b96220b2cda45f2c93b654376dd93  cpython-3.13.14+20260805-x86_64-unknown-linux-musl-install_only_stripped.tar.gz
a0a7782718a3313cd9b5a945b9d323abc29eb6c577dd909820e15f5471f0e4f8  cpython-3.13.14+20260805-x86_64_v2-unknown-linux-gnu-install_only_stripped.tar.gz
40503e93779d27473184538c8e8bc4409dc414eb942d8020ca43203f9519b7db  cpython-3.13.14+20260805-x86_64_v2-unknown-linux-musl-install_only_stripped.tar.gz
3cceed9d675ea918939ff16d467aee108ce48473b57e153449704399bdcd795d  cpython-3.13.14+20260805-x86_64_v3-unknown-linux-gnu-install_only_stripped.tar.gz
6cff5e8b9ccb72f386242aa8458464bdb019d6e06a2a3d0bc50ec0388ff0c05a  cpython-3.13.14+20260805-x86_64_v3-unknown-linux-musl-install_only_stripped.tar.gz
d37e21326a725c6d0e9f25e641b44a04ff39b7e150ddc1786e81f82f9e64f434  cpython-3.13.14+20260805-aarch64-unknown-linux-gnu-freethreaded-install_only_stripped.tar.gz
f1fddafa03a6420234b1513649a859bdeb9958c7a27a344dc7bc3c0833aaa16a  cpython-3.13.14+20260805-aarch64-unknown-linux-musl-freethreaded-install_only_stripped.tar.gz
89331f26172908e67fe977fc1338239e54cdb51a74acaf3eb7e90d43f336f1ef  cpython-3.13.14+20260805-x86_64-unknown-linux-gnu-freethreaded-install_only_stripped.tar.gz
f3a845af365e71309a3ffd17cfcf352f359a6f936557a98e1f5e6448a6cc7853  cpython-3.13.14+20260805-x86_64-unknown-linux-musl-freethreaded-install_only_stripped.tar.gz
b82966a30bdc6fb0ecd2e3198226e81683d747b401e5388d8d8cc1115254741b  cpython-3.13.14+20260805-x86_64_v2-unknown-linux-gnu-freethreaded-install_only_stripped.tar.gz
68975f909be8a83e30827cbd71e01cb8e72bf9a1bcbcf3ac727890957c113547  cpython-3.13.14+20260805-x86_64_v2-unknown-linux-musl-freethreaded-install_only_stripped.tar.gz
2fe16c23537b04abfce4a38269658d541039be5279643741679309bfbcccadc6  cpython-3.13.14+20260805-x86_64_v3-unknown-linux-gnu-freethreaded-install_only_stripped.tar.gz
e138fc6e66f7d95c3ecc48f6d59e34e2017a868395aed6b17b7949c01ed31de5  cpython-3.13.14+20260805-x86_64_v3-unknown-linux-musl-freethreaded-install_only_stripped.tar.gz
577b4bec0793ad1ff0cbff9adbd0df078eddde38a4c41bf5d83ad381a85ee39d  cpython-3.12.14+20260901-aarch64-unknown-linux-gnu-install_only_stripped.tar.gz
a0ad6f01b9204eba573a08927097b78143c564f98bea68a41ea1e172f041da3a  cpython-3.12.14+20260901-aarch64-unknown-linux-musl-install_only_stripped.tar.gz
72748da13197c1fb161e3afeef20a6a385ff24f2165e6e2758e47008e7faba4c  cpython-3.12.14+20260901-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz
1f37044c8cdbd74d5ee112a753c65ef209fedd169c98f3e4e748a93e27eb27a4  cpython-3.12.14+20260901-x86_64-unknown-linux-musl-install_only_stripped.tar.gz
ebd95954e6fd469a107507f491104ff3412e8b3bc0bc3177f385b60e5b7555b8  cpython-3.12.14+20260901-x86_64_v2-unknown-linux-gnu-install_only_stripped.tar.gz
3a9e209a8599e0c8a7008fbfc3a3f1e3c938fe1c156a0d61e6b2c8317ee647d7  cpython-3.12.14+20260901-x86_64_v2-unknown-linux-musl-install_only_stripped.tar.gz
c32af3dbc9b592b5409a118bcc8381ed48f6f12815765059e5ada7d5f9c11913  cpython-3.12.14+20260901-x86_64_v3-unknown-linux-gnu-install_only_stripped.tar.gz
6fcd4282e962db1829bf02eb01ca3dc8b27433d5651575779e4ca986cbdcb1fe  cpython-3.12.14+20260901-x86_64_v3-unknown-linux-musl-install_only_stripped.tar.gz
f9308ed57184fae73941c712ed847be420ce36d31ba73ce53f0508a1ee752f68  cpython-3.11.16+20260901-aarch64-unknown-linux-gnu-install_only_stripped.tar.gz
813b67d5f87d5b40081b56598f3b1c5849769c088d149a30553e1e39da0183a7  cpython-3.11.16+20260901-aarch64-unknown-linux-musl-install_only_stripped.tar.gz
64427febea27864d136db46c8efe968eb6fa5ca2813ce1dca4bb95aec31cb2e4  cpython-3.11.16+20260901-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz
34418632930361c52693e6d4cfd91d3a124b5139a1bed31eb7e77d4f0a955053  cpython-3.11.16+20260901-x86_64-unknown-linux-musl-install_only_stripped.tar.gz
546984907cbbd23d2d6bb3fb4ec7b78af6eced774953fa64acc513a3fda3676e  cpython-3.11.16+20260901-x86_64_v2-unknown-linux-gnu-install_only_stripped.tar.gz
60912e7bb2d409fdcc3339bf88c24bb86719dd45cb673121c92184b2dd057b00  cpython-3.11.16+20260901-x86_64_v2-unknown-linux-musl-install_only_stripped.tar.gz
3cfcca96584aff712149bdc3f6993528945543eccc7c627f2ab49fce0cf6319d  cpython-3.11.16+20260901-x86_64_v3-unknown-linux-gnu-install_only_stripped.tar.gz
15762b6ad99f0955560f3ed3caf988e7cce99a37922334490f41c57728e9c929  cpython-3.11.16+20260901-x86_64_v3-unknown-linux-musl-install_only_stripped.tar.gz
d376e6ffd768cc152fd8bc909799880631b105dd6115425b64ef4224b497aadc  cpython-3.10.21+20260901-aarch64-unknown-linux-gnu-install_only_stripped.tar.gz
330da31c07e26344d6c93a09d43604ebcb575e2792487dc2a5567a151ae81c40  cpython-3.10.21+20260901-aarch64-unknown-linux-musl-install_only_stripped.tar.gz
a85d82bf451beea4605cecf0ad3e6cfdab833f146da8f1f82c7b7786f3ff3e3a  cpython-3.10.21+20260901-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz
11835367a8739364dd0eedf850f98b7701b3f5aae746459581c04bb9a2dfb73a  cpython-3.10.21+20260901-x86_64-unknown-linux-musl-install_only_stripped.tar.gz
821874e99607d410fff15d7d4ae20715167fb3713f8a039af2d09b8653ec61c5  cpython-3.10.21+20260901-x86_64_v2-unknown-linux-gnu-install_only_stripped.tar.gz
9f75d4d7188d61cfcb478560cb94edb172ce6894ee6583b576fd367e1f3cf230  cpython-3.10.21+20260901-x86_64_v2-unknown-linux-musl-install_only_stripped.tar.gz
2802d9197271b70503295cb65554fc6c5cfd4f52fdf1afec19783f3ba03eff48  cpython-3.10.21+20260901-x86_64_v3-unknown-linux-gnu-install_only_stripped.tar.gz
c851186bf0c54ee62f117c7fed8e1e6a95c167948f6e528cea80da4ba5922bcb  cpython-3.10.21+20260901-x86_64_v3-unknown-linux-musl-install_only_stripped.tar.gz
1925b9aa73cd11633daa01756e32f9c319340c25e5338b151477691e8d99494b  cpython-3.9.23+20250612-aarch64-unknown-linux-gnu-install_only.tar.gz
110ddaca41601b431041db6b4778584f671ca109ca25ef19fe32796026678358  cpython-3.9.23+20250612-x86_64-unknown-linux-gnu-install_only.tar.gz
c3bdcc5ce8ee357d856b22f6aa72da3126dd400ac9a643e5df91625376efc23a  cpython-3.9.23+20250612-x86_64-unknown-linux-musl-install_only.tar.gz
)";
}

}  // namespace starling::dockerfile::python
