"""`python -m service doctor`: what is wrong with the etcd that the service would use, and what to do about it."""

from service.doctor.examination import examine
from service.doctor.report import Finding, Level, Report

__all__ = ["Finding", "Level", "Report", "examine"]
