// AXI4-Stream beat with side channels, for compiling the top function where the vendor's header is not at hand.
#ifndef ADMMFPGA_AP_AXI_SDATA_H
#define ADMMFPGA_AP_AXI_SDATA_H

#include <ap_int.h>

template <int DATA, int USER, int ID, int DEST>
struct ap_axiu {
  ap_uint<DATA> data;
  ap_uint<DATA / 8> keep;
  ap_uint<DATA / 8> strb;
  ap_uint<USER> user;
  ap_uint<1> last;
  ap_uint<ID> id;
  ap_uint<DEST> dest;
};

#endif
