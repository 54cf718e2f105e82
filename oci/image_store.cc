#include "oci/image_store.h"
