#!/usr/bin/env bash
# Sets everything up and trains bundle gradprom_mni152 on the real images that a package ships (about 10 minutes
# on 2 CPU cores). Stopped and started again, it continues; started after it has ended, it only evaluates.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

bundle=bundles/gradprom_mni152
cd "$root"
"$python" -m monai.bundle run training --config_file "$bundle/configs/train.json" --resume true \
    --ckpt_dir "$bundle/models/quickstart" --output_dir "$bundle/eval/quickstart" "$@"

cat <<END

Made, below bundles/gradprom_mni152:
  models/quickstart/model.pt       the enhancement network, with provenance.json beside it
  eval/quickstart/panel.png        noisy, enhanced and clean test slices
  eval/quickstart/summary.json     PSNR and SSIM; per_image.csv has them slice by slice
  eval/quickstart/tensorboard      curves: .venv/bin/tensorboard --logdir bundles/gradprom_mni152/eval/quickstart

Next, another bundle, on phantom data until you point it at ISIC:
  source .venv/bin/activate
  python -m monai.bundle run training --config_file bundles/gradprom_isic/configs/train.json
END
