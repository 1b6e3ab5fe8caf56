"""Whether a bundle is one that MONAI's Model Zoo, MONAI Label and exporters can use: files, ids, metadata, exports."""

from shared.conformance.bundle import Bundle
from shared.conformance.checks import CHECKS, check_bundle
from shared.conformance.result import Check, Result

__all__ = ["CHECKS", "Bundle", "Check", "Result", "check_bundle"]
